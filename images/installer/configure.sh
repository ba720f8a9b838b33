#!/bin/sh
# Writes uv's settings: where packages come from, and which build of torch.
set -eu
cat >/installer/uv.toml <<END
system-certs = true
link-mode = "copy"
cache-dir = "/var/cache/uv"
[[index]]
url = "$PIP_INDEX_URL"
default = true
END
case $TORCH_BACKEND in
index | index-cpu) ;;
*) printf '[pip]\ntorch-backend = "%s"\n' "$TORCH_BACKEND" >>/installer/uv.toml ;;
esac
