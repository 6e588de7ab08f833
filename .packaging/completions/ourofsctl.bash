# SPDX-License-Identifier: MIT
# Completion of ourofsctl for bash. Commands and options are those that its help lists.

_ourofsctl_commands() {
	ourofsctl --help 2>/dev/null | sed -nE 's/^    ([a-z][a-z-]*)( .*)?$/\1/p'
}

_ourofsctl_options() {
	ourofsctl "$1" --help 2>/dev/null | sed -nE 's/^        ((-.), )?(--[a-z-]+).*/\2 \3/p'
}

# Is it an option whose value is the next word?
_ourofsctl_takes_value() {
	ourofsctl "$1" --help 2>/dev/null | grep -qE -- "^        (-., )?$2 [A-Z]+"
}

_ourofsctl() {
	local cur=${COMP_WORDS[COMP_CWORD]} command=${COMP_WORDS[1]} operand=1 i words=
	COMPREPLY=()
	if [ "$COMP_CWORD" = 1 ]; then
		words="$(_ourofsctl_commands) --help --version"
	elif [[ $cur == -* ]]; then
		words="$(_ourofsctl_options "$command") --help"
	elif [[ ${COMP_WORDS[COMP_CWORD - 1]} == -* ]] &&
		_ourofsctl_takes_value "$command" "${COMP_WORDS[COMP_CWORD - 1]}"; then
		compopt -o filenames 2>/dev/null
		mapfile -t COMPREPLY < <(compgen -f -- "$cur")
		return
	else
		for ((i = 2; i < COMP_CWORD; i++)); do
			if [[ ${COMP_WORDS[i]} != -* ]]; then
				operand=$((operand + 1))
			elif _ourofsctl_takes_value "$command" "${COMP_WORDS[i]}"; then
				i=$((i + 1))
			fi
		done
		case $command:$operand in
		mode:2) words='edn-only dual-write datalevin-first datalevin-only' ;;
		migrate:2) words='all sessions projects learnings pause resume stop' ;;
		status:1 | mode:1 | migrate:1 | validate:1 | sync:1 | events:1 | unmount:1 | \
			backup:[12] | export:1 | import:1)
			compopt -o filenames 2>/dev/null
			mapfile -t COMPREPLY < <(compgen -d -- "$cur")
			return ;;
		check:1 | export:2 | import:2)
			compopt -o filenames 2>/dev/null
			mapfile -t COMPREPLY < <(compgen -f -- "$cur")
			return ;;
		esac
	fi
	mapfile -t COMPREPLY < <(compgen -W "$words" -- "$cur")
}

complete -F _ourofsctl ourofsctl
