#!/bin/sh
# Puts the header of ONNX Runtime's C API into a folder: Debian's package libonnxruntime-dev,
# unpacked and not installed. Debian 12 lacks it, so the list of Debian 13's packages is read.
set -eu
mkdir -p "$1/apt/lists/partial" "$1/apt/cache/archives/partial"
cd "$1"
options=
if ! apt-cache show libonnxruntime-dev >/dev/null 2>&1; then
    awk -v RS= 'NR == 1' /etc/apt/sources.list.d/debian.sources | sed 's/^Suites:.*/Suites: trixie/' >apt/debian.sources
    for setting in "Etc::sourcelist=$PWD/apt/debian.sources" Etc::sourceparts=- "State::lists=$PWD/apt/lists" "Cache=$PWD/apt/cache"; do
        options="$options -o Dir::$setting"
    done
    apt-get $options -q update
fi
apt-get $options -q -o APT::Sandbox::User=root download libonnxruntime-dev
dpkg -x libonnxruntime-dev_*.deb .
test -f usr/include/onnxruntime/onnxruntime_c_api.h
