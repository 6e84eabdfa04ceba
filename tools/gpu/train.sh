#!/usr/bin/env bash
# On a machine with a GPU, with or without a network: a training of so many minutes from the shipped weights, or from where
# the last one ended. It needs torch alone, no package of the service's.
#
#   tools/gpu/train.sh OUT PICTURES MINUTES [OPTION...]     PICTURES: a folder with content/ and style/ in it, or tar
#                                                           files of them beside one another; options of `impasto train`
#   DEVICE=cpu tools/gpu/train.sh OUT PICTURES 0.5          to rehearse it
#
# OUT gets train.log, decoder.safetensors (the moving average, to be judged with `impasto evaluate`),
# decoder-best.safetensors, curves.tar of TensorBoard's log; the checkpoint stays in RUN (/tmp/impasto-run).
set -uo pipefail
cd "$(dirname "$0")/../.."
out=${1:?a folder for logs and results} pictures=${2:?a folder of pictures, or of tar files} minutes=${3:?minutes}
shift 3
run=${RUN:-/tmp/impasto-run}
export PYTHONUNBUFFERED=1
mkdir -p "$out"
if compgen -G "$pictures/*.tar" >/dev/null; then
  # Unpacked beside them, each once: parts may come one trip after the other.
  for part in "$pictures"/*.tar; do
    [ -e "$part.unpacked" ] || { tar -xf "$part" -C "$pictures" && touch "$part.unpacked"; } || exit 1
  done
fi
rm -rf "$run"
python3 -m app train --device "${DEVICE:-cuda}" --content "$pictures/content" --style "$pictures/style" --out "$run" \
  --minutes "$minutes" --decoder "${DECODER:-models/decoder.safetensors}" --batch 16 --crops 128:0.2,192:0.3,256:0.5 \
  --learning-rate 2e-4 --content-weight 1.7 --style-weight 18 --identity-weight 60 --val-share 0.025 --test-share 0.01 \
  --log-every 100 --validate-every 2000 --save-every 2000 "$@" 2>&1 | tr '\r' '\n' | tee "$out/train.log" | grep -v '%|\|step/s' | tail -n 60
status=${PIPESTATUS[0]}
cp "$run"/decoder*.safetensors "$out"/ && tar -cf "$out/curves.tar" -C "$run" log
exit "$status"
