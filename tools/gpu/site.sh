# Installs wheels that travelled (tools/gpu/wheels.py) into a folder that Python then looks into first.
# . tools/gpu/site.sh WHEELS     leaves the environment it runs in alone
site=${IMPASTO_SITE:-/tmp/impasto-site}
if [ ! -e "$site/.whole" ]; then
  python3 -m pip install -q --no-index --no-deps --no-compile --no-cache-dir --upgrade --target "$site" "$1"/*.whl &&
    # The sources are run where they are; who asks for the project's version finds it here.
    mkdir -p "$site/impasto-0.dist-info" &&
    printf 'Metadata-Version: 2.1\nName: impasto\nVersion: %s\n' "$(sed -n 's/^version = "\(.*\)"/\1/p' pyproject.toml)" \
      >"$site/impasto-0.dist-info/METADATA" && touch "$site/.whole"
fi
export PYTHONPATH="$site${PYTHONPATH:+:$PYTHONPATH}"
