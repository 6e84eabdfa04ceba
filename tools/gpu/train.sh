#!/usr/bin/env bash
# On a machine with a GPU, with or without a network: a training of so many minutes, from the shipped weights or from
# DECODER. It needs torch, torchvision and tensorboard, and none of the service's other packages.
#
#   tools/gpu/train.sh OUT PICTURES MINUTES [OPTION...]     options of `impasto train`
#   tools/gpu/train.sh OUT PICTURES                         only unpacks, where pictures come in several trips
#   DEVICE=cpu tools/gpu/train.sh OUT PICTURES 1.5 --batch 4 --crops 32      to rehearse it
#
# PICTURES holds content/ and style/, or tar files of them, which are unpacked into DATA (/tmp/impasto-pictures).
# Batches are of 64 crops of 128 pixels and shrink as crops grow: to 16 of 256. OUT gets train.log, the decoders, to be
# judged with `impasto evaluate`, and curves.tar, TensorBoard's log; the checkpoint stays in RUN (/tmp/impasto-run).
set -uo pipefail
cd "$(dirname "$0")/../.."
out=${1:?a folder for logs and results} pictures=${2:?a folder of pictures, or of tar files} minutes=${3:-}
shift $(($# < 3 ? $# : 3))
run=${RUN:-/tmp/impasto-run} data=${DATA:-/tmp/impasto-pictures}
export PYTHONUNBUFFERED=1
mkdir -p "$out"
if compgen -G "$pictures/*.tar" >/dev/null; then
  mkdir -p "$data"
  for part in "$pictures"/*.tar; do tar -xf "$part" -C "$data" || exit 1; done
fi
[ -d "$pictures/content" ] && data=$pictures
for kind in content style; do echo "$data/$kind: $(find -L "$data/$kind" -type f 2>/dev/null | wc -l) files"; done
[ -n "$minutes" ] || exit 0
rm -rf "$run"
python3 -m app train --device "${DEVICE:-cuda}" --content "$data/content" --style "$data/style" --out "$run" \
  --minutes "$minutes" --decoder "${DECODER:-models/decoder.safetensors}" --batch 64 --crops 128:0.2,192:0.3,256:0.5 \
  --learning-rate 2e-4 --content-weight 1.7 --style-weight 18 --identity-weight 60 --val-share 0.025 --test-share 0.01 \
  --log-every 100 --validate-every 2000 --save-every 2000 "$@" 2>&1 | tr '\r' '\n' >"$out/train.log"
status=${PIPESTATUS[0]}
grep -v 'images/s' "$out/train.log" | grep . | tail -n 60
grep -o '[0-9.]* images/s, busy [0-9]*%' "$out/train.log" | tail -n 1
cp "$run"/decoder*.safetensors "$out"/ && tar -cf "$out/curves.tar" -C "$run" log
exit "$status"
