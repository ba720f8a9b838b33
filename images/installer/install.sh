#!/bin/sh
# install.sh OPTION...: into /opt/venv what `uv pip install` is told, and nothing that it would bring along.
set -eu
/installer/bin/uv pip install --quiet --config-file /installer/uv.toml --python /opt/venv/bin/python \
    --compile-bytecode --no-deps "$@"
rm -f /opt/venv/.lock /opt/chexpert/.lock # uv's, writable by all
