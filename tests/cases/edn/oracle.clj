;; SPDX-License-Identifier: MIT
;; What clojure.edn makes of texts. Each line of stdin is the base64 of a text, or of a text, a space, and of
;; what was printed for its value. Each answer is "ok" or "error", then "same", "different: ..." for
;; whether both read as the same value, classes included.
(require '[clojure.edn :as edn])

(deftype Tagged [tag form]
  Object
  (equals [_ o] (and (instance? Tagged o)
                     (= tag (.-tag ^Tagged o))
                     (= form (.-form ^Tagged o))))
  (hashCode [_] (hash [tag form]))
  clojure.lang.IHashEq
  (hasheq [_] (hash [tag form])))

(defn read-text [text]
  (edn/read-string {:default ->Tagged} text))

(declare same?)

;; Some lookups don't find NaN (nor what holds it), though it is a duplicate of itself.
(defn find-in [m k]
  (or (find m k) (first (filter #(same? k (key %)) m))))

(defn same-map? [a b]
  (and (= (count a) (count b))
       (every? (fn [[k v]]
                 (when-let [[k2 v2] (find-in b k)]
                   (and (same? k k2) (same? v v2))))
               a)))

(defn same? [a b]
  (cond
    (not= (class a) (class b)) false
    (map? a) (same-map? a b)
    (set? a) (same-map? (zipmap a a) (zipmap b b))
    (sequential? a) (and (= (count a) (count b)) (every? true? (map same? a b)))
    (instance? Tagged a) (and (= (.-tag ^Tagged a) (.-tag ^Tagged b))
                              (same? (.-form ^Tagged a) (.-form ^Tagged b)))
    (nil? a) true
    :else (.equals ^Object a b)))

(defn decode [s]
  (String. (.decode (java.util.Base64/getDecoder) ^String s) "UTF-8"))

(defn answer [text printed]
  (try
    (let [value (read-text text)]
      (if printed
        (try
          (if (same? value (read-text printed)) "ok same" "ok different")
          (catch Throwable e (str "ok different: " (.getMessage e))))
        "ok"))
    (catch Throwable e "error")))

(doseq [line (line-seq (java.io.BufferedReader. *in*))]
  (let [[text printed] (map decode (.split ^String line " "))]
    (println (answer text printed))))
