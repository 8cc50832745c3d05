# Sourced by the scripts beside it, after say.sh: Python environments in the user's cache folder, made once.

# Makes sure that VENV holds what REQUIREMENTS ask for and that MODULES, where named, can be imported.
# Fails where the packages cannot be had. pip waits SECONDS for each answer.
want_venv() { # VENV REQUIREMENTS WORDS SECONDS [MODULES]
    local venv=$1 requirements=$2 words=$3 seconds=$4 modules=${5:-}
    local stamp="$venv/installed.txt"
    if cmp -s "$requirements" "$stamp"; then
        [ -z "$modules" ] && return 0
        "$venv/bin/python" -c "import $modules" 2>/dev/null && return 0
    fi
    say "installing $words (once)"
    python3 -m venv --clear "$venv" &&
        "$venv/bin/python" -m pip install --quiet --disable-pip-version-check \
            --retries 2 --timeout "$seconds" -r "$requirements" &&
        cp "$requirements" "$stamp"
}
