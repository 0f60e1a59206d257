#!/usr/bin/env bash
# Makes the files in devicesvc/console/vendor anew: make vendor. It needs npm, and nothing else does.
# To take another version, change it here. The files are committed, and SHA256SUMS says what they must be.
set -euo pipefail
preact=11.2.0 htm=3.1.1 pico=2.1.1 esbuild=0.28.2

target=$(cd "$(dirname "$0")/../devicesvc/console/vendor" && pwd)
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
npm install --silent --no-audit --no-fund --ignore-scripts \
  "preact@$preact" "htm@$htm" "@picocss/pico@$pico" "esbuild@$esbuild"

cat >preact-htm.js <<END
export { h, render } from "preact";
export { useEffect, useRef, useState } from "preact/hooks";
import { h } from "preact";
import htm from "htm";
export const html = htm.bind(h);
END
# preact is MIT, htm is Apache-2.0: their texts lie beside this file.
node_modules/.bin/esbuild preact-htm.js --bundle --minify --format=esm --target=es2022 --log-level=error \
  --banner:js="/* preact $preact (MIT), htm $htm (Apache-2.0); bundled with esbuild $esbuild by make vendor */" \
  --outfile="$target/preact-htm.js"
cp node_modules/@picocss/pico/css/pico.min.css "$target/pico.css"
cp node_modules/preact/LICENSE "$target/preact.LICENSE"
cp node_modules/htm/LICENSE "$target/htm.LICENSE"
cp node_modules/@picocss/pico/LICENSE.md "$target/pico.LICENSE"
cd "$target"
sha256sum preact-htm.js pico.css ./*.LICENSE | sed 's| \./| |' >SHA256SUMS
