# syntax=docker/dockerfile:1
# Impasto as a container. VARIANT=cpu (default) or cuda; see docs/operations.md.

FROM python:3.11-slim AS build
ARG VARIANT=cpu
# pip stays outside the environment it fills, so that the image carries none there.
ENV PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_CACHE_DIR=1 PIP_ROOT_USER_ACTION=ignore PIP_PYTHON=/opt/impasto/bin/python
RUN python -m venv --without-pip /opt/impasto
# torch first and alone: it is gigabytes and changes seldom. The CPU build comes from PyTorch's own index.
RUN case "$VARIANT" in \
      cpu) pip install "torch>=2.5" --index-url https://download.pytorch.org/whl/cpu ;; \
      cuda) pip install "torch>=2.5" ;; \
      *) echo "VARIANT is '$VARIANT'; it can be cpu or cuda" >&2; exit 1 ;; \
    esac
WORKDIR /src
COPY pyproject.toml ./
# The other dependencies without the sources: a change of code installs nothing again.
RUN python -c "import tomllib; p = tomllib.load(open('pyproject.toml', 'rb'))['project']; \
      print(*p['dependencies'], *(one for extra in ('postgres', 'redis', 'otel') \
      for one in p['optional-dependencies'][extra]), sep='\n')" \
      > requirements.txt \
    && pip install -r requirements.txt
COPY README.md LICENSE ./
COPY models models
COPY app app
RUN pip install --no-deps . && mkdir /data

FROM python:3.11-slim
LABEL org.opencontainers.image.title="Impasto" \
      org.opencontainers.image.description="Repaint a photo in the style of any picture: an AdaIN style-transfer REST service" \
      org.opencontainers.image.licenses="MIT"
COPY --from=build /opt/impasto /opt/impasto
# HOME is for caches of libraries: user 10001 has no other place to write to.
ENV PATH=/opt/impasto/bin:$PATH \
    HOME=/tmp \
    PYTHONUNBUFFERED=1 \
    PYTHONDONTWRITEBYTECODE=1 \
    IMPASTO_HOST=0.0.0.0 \
    IMPASTO_PORT=8000 \
    IMPASTO_DRAIN_SECONDS=5 \
    IMPASTO_ADDRESS_FILE=/tmp/impasto.address \
    IMPASTO_DATA_DIR=/data
# Jobs are kept here. A volume takes over whose it is, so that user 10001 can write to it.
COPY --from=build --chown=10001:10001 /data /data
VOLUME /data
# By number, so that Kubernetes can tell it is not root.
USER 10001:10001
WORKDIR /tmp
EXPOSE 8000
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=10s --timeout=5s --start-period=30s --retries=3 CMD ["impasto", "health"]
ENTRYPOINT ["impasto"]
CMD ["serve"]
