#!/bin/sh
# Makes the virtual environment named by $1 with the first Python that can: 3.11 or newer, and with
# venv and pip in it. Says in one line what is wrong if there is none.
set -u
folder=$1
old=""
for candidate in python3 python3.13 python3.12 python3.11 python3.14 python; do
    command -v "$candidate" >/dev/null 2>&1 || continue
    if ! "$candidate" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then
        old="$old $candidate"
        continue
    fi
    if ! "$candidate" -c 'import venv, ensurepip' 2>/dev/null; then
        echo "$candidate has no venv module with pip (on Debian and Ubuntu: apt install python3-venv); looking for another …"
        continue
    fi
    echo "Making a virtual environment in $folder with $("$candidate" --version) …"
    if "$candidate" -m venv "$folder"; then
        exit 0
    fi
    rm -rf "$folder"
done
if [ -n "$old" ]; then
    echo "Headlight needs Python 3.11 or newer with its venv module; older, or not working:$old. Install a newer one and run make again." >&2
else
    echo "Headlight needs Python 3.11 or newer with its venv module, and none was found on PATH. Install one and run make again." >&2
fi
exit 1
