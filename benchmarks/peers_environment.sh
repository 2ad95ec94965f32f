#!/usr/bin/env bash
# Environments for `python -m benchmarks.peers`, one for each package, in .venv-peers/:
#   bash benchmarks/peers_environment.sh                           # basicts and neuralforecast
#   bash benchmarks/peers_environment.sh tsl                       # compiles for 15 minutes and more
# PYTHON=python3.12 before it takes another interpreter.
set -euo pipefail
cd "$(dirname "$0")/.."

# torch comes first and alone, so that all start from the same; a peer's own pins may replace it
# (basicts wants setuptools 59.5, which torch 2.13 refuses: pip goes back to torch 2.12).
start() {
    "${PYTHON:-python3}" -m venv --clear ".venv-peers/$1"
    install "$1" torch==2.13.0
}

install() {
    ".venv-peers/$1/bin/python" -m pip install --quiet "${@:2}"
}

[ $# -gt 0 ] || set -- basicts neuralforecast
for peer in "$@"; do
    case "$peer" in
        basicts)
            start basicts
            install basicts basicts==1.1.0
            ;;
        neuralforecast)
            start neuralforecast
            install neuralforecast neuralforecast==3.3.0 xlstm==2.0.6  # xlstm: it does not ask for it
            ;;
        tsl)
            start tsl
            install tsl setuptools wheel ninja numpy
            install tsl --no-build-isolation torch-sparse==0.6.18 torch-scatter==2.1.2
            install tsl torch-spatiotemporal==0.9.5 torch-geometric==2.8.1  # it imports the latter
            ;;
        *)
            echo "error: no peer '$peer'; there are basicts, neuralforecast and tsl" >&2
            exit 2
            ;;
    esac
    echo "ready: .venv-peers/$peer"
done
