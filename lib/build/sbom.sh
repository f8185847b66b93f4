# shellcheck shell=bash
# The bill of materials of a layer, in CycloneDX format (ECMA-424).

# sbom COMPONENT…: each is "TYPE NAME VERSION PURL".
sbom() {
    local component kind name version purl separator=''
    echo '{"bomFormat":"CycloneDX","specVersion":"1.4","version":1,"components":['
    for component; do
        read -r kind name version purl <<<"$component"
        printf '%s{"type":"%s","name":"%s","version":"%s","purl":"%s"}\n' \
            "$separator" "$kind" "$name" "$version" "$purl"
        separator=,
    done
    echo ']}'
}

# The packages in a Cargo.lock, except our own.
crates() {
    awk -F '"' '
        /^\[\[package\]\]/ { name = version = "" }
        /^name = / { name = $2 }
        /^version = / { version = $2 }
        /^source = / { print "library", name, version, "pkg:cargo/" name "@" version }
    ' "$1"
}
