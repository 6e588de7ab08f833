# SPDX-License-Identifier: MIT
# Completion of ourofs for bash. Options are those that its help lists.

# The words behind -o: each on a line of its own, then those of the lists below "with -o:".
_ourofs_words() {
	ourofs -h 2>/dev/null | sed -nE \
		-e 's/.*-o ([a-z_]+=?).*/\1/p' \
		-e '/with -o:$/,/^$/ { /^    / { s/ x-\*//; s/^ +//; p } }'
}

_ourofs() {
	local cur=${COMP_WORDS[COMP_CWORD]} before=${COMP_WORDS[COMP_CWORD - 1]} head words
	COMPREPLY=()
	# bash takes "mode=dual" apart at the "="
	if [ "$cur" = = ]; then
		cur=
	elif [ "$before" = = ]; then
		before=${COMP_WORDS[COMP_CWORD - 2]}
	fi
	case ${before##*,} in
	mode) words='edn-only dual-write datalevin-first datalevin-only' ;;
	control) words='hidden listed' ;;
	loglevel) words='error warning info debug' ;;
	store)
		compopt -o filenames 2>/dev/null
		mapfile -t COMPREPLY < <(compgen -d -- "$cur")
		return ;;
	mapping)
		compopt -o filenames 2>/dev/null
		mapfile -t COMPREPLY < <(compgen -f -- "$cur")
		return ;;
	-o)
		compopt -o nospace 2>/dev/null
		head=
		[[ $cur != *,* ]] || head=${cur%,*},
		mapfile -t COMPREPLY < <(compgen -P "$head" -W "$(_ourofs_words)" -- "${cur##*,}")
		return ;;
	*)
		if [[ $cur == -* ]]; then
			words='-h --help -V --version -f -d -s -o'
		else
			compopt -o filenames 2>/dev/null
			mapfile -t COMPREPLY < <(compgen -f -- "$cur")
			return
		fi ;;
	esac
	mapfile -t COMPREPLY < <(compgen -W "$words" -- "$cur")
}

complete -F _ourofs ourofs
