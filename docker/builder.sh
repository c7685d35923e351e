#!/bin/sh
# Puts the static binaries of $SIDECARS into /out: those that were brought along in target/dist/<architecture>/, the
# others compiled here. `builder.sh dependencies` compiles what they depend on, so that a change of ours keeps that layer.
set -eu

brought="/brought/$(dpkg --print-architecture)"

compile() {
    # Only with a target of its own do the flags leave procedural macros alone, which cannot be static.
    target=$(rustc -vV | sed -n 's/^host: //p')
    profile=small
    if [ "$1" = log-analytics ]; then profile=release; fi
    # One package at a time: Cargo would unite the features of several.
    RUSTFLAGS='-C target-feature=+crt-static' cargo build --locked --profile "$profile" --target "$target" --package "$1"
    binary="target/$target/$profile/$1"
}

dependencies() {
    for package in shared bins/* tests; do
        mkdir -p "$package/src"
        : >"$package/src/lib.rs"
        echo 'fn main() {}' >"$package/src/main.rs"
    done
    for sidecar in $SIDECARS; do
        if [ ! -f "$brought/$sidecar" ]; then compile "$sidecar"; fi
    done
}

binaries() {
    mkdir -p /out
    # The sources may be older than what was compiled in their place.
    find shared bins -name '*.rs' -exec touch {} +
    for sidecar in $SIDECARS; do
        if [ -f "$brought/$sidecar" ]; then
            binary="$brought/$sidecar"
        else
            compile "$sidecar"
        fi
        install -m 755 "$binary" "/out/$sidecar"
    done
    if [ -f "$brought/demo" ]; then install -m 755 "$brought/demo" /out/; fi
}

"$1"
