#!/bin/sh
# Writes, for each image, everything that its extras need at the versions of requirements.lock: /pins/IMAGE.txt.
set -eu

pin() { # IMAGE EXTRA...
    image=$1
    shift
    # shellcheck disable=SC2046 # extras are single words
    /installer/bin/uv pip compile --quiet --config-file /installer/uv.toml --python /usr/local/bin/python \
        --no-header --no-annotate --no-emit-index-url --constraint /pins/requirements.lock \
        --output-file "/pins/$image.txt" $(printf -- '--extra %s ' "$@") /pins/pyproject.toml
    # CUDA's libraries: images/installer/cuda_stubs.py stands in for them.
    if [ "$TORCH_BACKEND" = index-cpu ]; then
        sed -Ei '/^(nvidia-|cuda-|triton==)/d' "/pins/$image.txt"
    fi
}

pin serve serve
pin web web
pin train train tools
pin tools all
