;; SPDX-License-Identifier: MIT
;; Another writer of memory.edn, as Ouroboros is one: it reads the file when it boots, never again, and holds it
;; in an atom; 100 ms after the first of a burst of changes it spits the whole map over the file, in place:
;; truncated, then in writes of 8 KB. No lock, no rename, no fsync. What can't be read is an empty memory.
;;
;; Commands are lines of EDN forms on stdin; each is answered by one line: ok, a value, or "error" and a reason.
(ns rival
  (:require [clojure.edn :as edn]
            [clojure.string :as string])
  (:import (java.io PushbackReader StringReader)
           (java.util Random)))

(def delay-ms 100)
(def file (atom nil))
(def store (atom {}))
(def pending-write (atom nil))
(def random (atom (Random. 0)))

(defn write! []
  (spit @file (pr-str @store)))

;; A change while the file is being written waits for the next one to be saved, as it does there.
(defn changed! []
  (let [ours (Object.)]
    (when (compare-and-set! pending-write nil ours)
      (future
        (Thread/sleep delay-ms)
        (locking store
          (when (identical? ours @pending-write)
            (write!)
            (compare-and-set! pending-write ours nil)))))))

(defn save-now! []
  (locking store
    (reset! pending-write nil)
    (write!)))

(defn change! [f & args]
  (apply swap! store f args)
  (changed!))

(defn read-memory [path]
  (try
    (let [value (edn/read-string (slurp path))]
      (if (map? value) value {}))
    (catch Exception _ {})))

;; A reboot: what was not written yet is lost.
(defn boot! []
  (locking store
    (reset! pending-write nil)
    (reset! store (read-memory @file))))

(defn shown [value]
  (binding [*print-namespace-maps* false] (pr-str value)))

;; ---- random changes ----

(defn text []
  (string/join (repeatedly (.nextInt @random 400) #(nth "abc \n\"\\é世" (.nextInt @random 9)))))

(defn value []
  (case (.nextInt @random 6)
    0 {:user/name (text), :user/joined-at (.nextLong @random)}
    1 #{(text) :rival (.nextInt @random)}
    2 [(text) nil 1.5 {:id (.nextInt @random)}]
    3 (list :rival (.nextInt @random))
    4 (text)
    5 {:id (.nextInt @random), "notes" (vec (repeatedly 3 text))}))

(defn random-change! []
  (let [n (.nextInt @random 20)]
    (case (.nextInt @random 8)
      (0 1 2) (change! assoc (keyword "rival" (str "k" n)) (value))
      3 (change! dissoc (keyword "rival" (str "k" n)))
      (4 5) (change! assoc-in [:presence/rival (str "m" n)] (value))
      6 (change! update :presence/rival dissoc (str "m" n))
      7 (change! update :ops/rival #(vec (take-last 200 (conj (vec %) {:op/id n, :op/data (text)})))))))

;; ---- commands ----

(def commands
  {'open (fn [path] (reset! file path) (reset! random (Random. 0)) (boot!))
   'seed (fn [n] (reset! random (Random. n)))
   'assoc (fn [key value] (change! assoc key value))
   'update-in (fn [path f & args] (apply change! update-in path (ns-resolve 'clojure.core f) args))
   'dissoc (fn [key] (change! dissoc key))
   'random (fn [n] (dotimes [_ n] (random-change!)))
   'settle (fn [] (while @pending-write (Thread/sleep 5)))
   'save-now save-now!
   'reload boot!
   ;; What loading learning.index does to the store of a boot that reads its file only later.
   'wipe (fn [] (reset! store {}) (change! assoc :learning/tag-index {}))})

;; These answer with a value.
(def questions
  {'dump (fn [] @store)
   'read (fn [path] (edn/read-string (slurp path)))})

(defn forms [line]
  (let [reader (PushbackReader. (StringReader. line))]
    (doall (take-while #(not= ::end %) (repeatedly #(edn/read {:eof ::end} reader))))))

(defn answer [line]
  (try
    (let [[command & args] (forms line)]
      (if-let [question (questions command)]
        (shown (apply question args))
        (do (apply (commands command) args) "ok")))
    (catch Throwable e
      (str "error " (string/replace (str e) "\n" " ")))))

(loop []
  (let [line (read-line)]
    (when-not (contains? #{nil "quit"} line)
      (println (answer line))
      (recur))))
(shutdown-agents)
