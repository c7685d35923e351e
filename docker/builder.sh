#!/bin/sh
# Puts the static binaries of $SIDECARS into /out: those that were brought along in target/dist/<architecture>/, the
# others compiled here. `builder.sh dependencies` compiles what they depend on, so that a change of ours keeps that layer.
set -eu

brought="/brought/$(dpkg --print-architecture)"

profile_of() {
    if [ "$1" = log-analytics ]; then echo release; else echo small; fi
}

# Together, those of one profile compile what they share once; what one of them does not use, the linker leaves out.
compile() {
    for profile in release small; do
        packages=
        for sidecar in $SIDECARS; do
            if [ "$(profile_of "$sidecar")" = "$profile" ] && [ ! -f "$brought/$sidecar" ]; then
                packages="$packages --package $sidecar"
            fi
        done
        if [ -n "$packages" ]; then
            # Packed, the table of addresses to adjust at the start is read within a page instead of seventy.
            flags='-C target-feature=+crt-static -C link-arg=-Wl,-z,pack-relative-relocs'
            # Which ways an import takes and which functions it runs, written by `cargo xtask profile`; without effect for
            # another compiler. Only lld lays functions in order, and Rust links with it on x86_64 alone.
            if [ "$profile" = release ]; then
                flags="$flags -C llvm-args=-no-pgo-warn-mismatch -C profile-use=/brought/log-analytics.profdata"
            fi
            if [ "$profile" = release ] && [ "$target" = x86_64-unknown-linux-gnu ]; then
                flags="$flags -C link-arg=-Wl,--no-warn-symbol-ordering -C link-arg=-Wl,--symbol-ordering-file=/brought/log-analytics.order"
            fi
            # Only with a target of its own do the flags leave procedural macros alone, which cannot be static.
            # shellcheck disable=SC2086
            RUSTFLAGS="$flags" cargo build --locked --profile "$profile" --target "$target" $packages
        fi
    done
}

dependencies() {
    for package in shared bins/* tests; do
        mkdir -p "$package/src"
        : >"$package/src/lib.rs"
        echo 'fn main() {}' >"$package/src/main.rs"
    done
    compile
}

binaries() {
    mkdir -p /out
    # The sources may be older than what was compiled in their place.
    find shared bins -name '*.rs' -exec touch {} +
    compile
    for sidecar in $SIDECARS; do
        binary="$brought/$sidecar"
        if [ ! -f "$binary" ]; then binary="target/$target/$(profile_of "$sidecar")/$sidecar"; fi
        install -m 755 "$binary" "/out/$sidecar"
    done
    if [ -f "$brought/demo" ]; then install -m 755 "$brought/demo" /out/; fi
}

target=$(rustc -vV 2>/dev/null | sed -n 's/^host: //p')
"$1"
