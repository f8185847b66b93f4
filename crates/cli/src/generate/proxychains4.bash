# bash completion for proxychains4: its own options first, then those of the program that it runs.
_proxychains4() {
    local i cur=${COMP_WORDS[COMP_CWORD]} previous=${COMP_WORDS[COMP_CWORD - 1]}
    for ((i = 1; i < COMP_CWORD; i++)); do
        case ${COMP_WORDS[i]} in
            @with a value@) ((i++)) ;;
            -*) ;;
            *)
                # Of the package bash-completion.
                if declare -F _comp_command_offset >/dev/null; then
                    _comp_command_offset "$i"
                elif declare -F _command_offset >/dev/null; then
                    _command_offset "$i"
                fi
                return
                ;;
        esac
    done
    case $previous in
        -f) mapfile -t COMPREPLY < <(compgen -f -- "$cur") ;;
        -x) ;;
        --supervise) mapfile -t COMPREPLY < <(compgen -W "auto always never" -- "$cur") ;;
        *)
            if [[ $cur == -* ]]; then
                mapfile -t COMPREPLY < <(compgen -W "@options@" -- "$cur")
            else
                mapfile -t COMPREPLY < <(compgen -c -- "$cur")
            fi
            ;;
    esac
}
complete -o filenames -F _proxychains4 proxychains4
