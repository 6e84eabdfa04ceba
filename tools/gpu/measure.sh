#!/usr/bin/env bash
# On a machine with a GPU, with or without a network: what runs there, the tests on the card, the quick benchmark. About
# four minutes; each part within its time, so that one that hangs costs no other.
#
#   tools/gpu/measure.sh OUT [WHEELS]       logs and results into OUT; WHEELS as tools/gpu/wheels.py makes them
#   DEVICE=cpu tools/gpu/measure.sh OUT     to rehearse it
set -uo pipefail
cd "$(dirname "$0")/../.."
out=${1:?a folder for logs and results} wheels=${2:-}
device=${DEVICE:-cuda}
export PYTHONUNBUFFERED=1
mkdir -p "$out"
if [ -n "$wheels" ]; then . tools/gpu/site.sh "$wheels" || exit 1; fi

part() { # NAME SECONDS COMMAND...
  local name=$1 seconds=$2 since=$SECONDS status
  shift 2
  echo "== $name: $*"
  # Into a file, not a pipe: what a part may leave running would keep that open.
  timeout -k 15 "$seconds" "$@" >"$out/$name.log" 2>&1
  status=$?
  tail -n "${LINES_SHOWN:-60}" "$out/$name.log"
  echo "== $name ended with $status after $((SECONDS - since)) s" | tee -a "$out/parts.txt"
  return "$status"
}

rm -f "$out/parts.txt"
failed=0
if [ "$device" = cuda ]; then part card 20 nvidia-smi || failed=1; fi
part versions 60 python3 -c "
import sys, torch
print(sys.version, torch.__version__, torch.version.cuda, torch.backends.cudnn.version(), torch.get_num_threads())
if sys.argv[1] == 'cuda':
    print(torch.cuda.get_device_properties(0), torch.cuda.mem_get_info(0))" "$device" || failed=1
workers=()
python3 -c "import xdist" 2>/dev/null && workers=(-n "${TEST_WORKERS:-6}")
tests=(tests/engine/test_devices.py tests/engine/test_cuda.py tests/engine/test_create.py::test_auto_takes_the_gpu
  tests/network/test_convolution.py tests/training/test_devices.py tests/training/step tests/training/data
  tests/e2e/test_gpu.py tests/e2e/test_worker.py tests/e2e/test_processes.py)
part tests "${TEST_SECONDS:-120}" python3 -m pytest -q -p no:cacheprovider "${workers[@]}" ${TESTS:-"${tests[@]}"} || failed=1
part benchmark "${BENCHMARK_SECONDS:-150}" python3 -m benchmarks.gpu --quick --device "$device" --out "$out" \
  ${BENCHMARK_OPTIONS:-} || failed=1
part training "${TRAINING_SECONDS:-45}" python3 -m benchmarks.training --device "$device" --rounds 1 \
  ${TRAINING_OPTIONS:-} || failed=1
cat "$out/parts.txt"
exit "$failed"
