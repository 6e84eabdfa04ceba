# syntax=docker/dockerfile:1
# Impasto as a container. VARIANT=cpu (default) or cuda; see docs/containers.md.

FROM python:3.11-slim AS build
ARG VARIANT=cpu
ENV PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_CACHE_DIR=1
RUN python -m venv /opt/impasto
ENV PATH=/opt/impasto/bin:$PATH
# torch first and alone: it is gigabytes and changes seldom. The CPU build comes from PyTorch's own index.
RUN if [ "$VARIANT" = cpu ]; then \
      pip install "torch>=2.4" --index-url https://download.pytorch.org/whl/cpu; \
    else \
      pip install "torch>=2.4"; \
    fi
WORKDIR /src
COPY pyproject.toml README.md LICENSE ./
COPY models models
COPY app app
RUN pip install .

FROM python:3.11-slim
LABEL org.opencontainers.image.title="Impasto" \
      org.opencontainers.image.description="Repaint a photo in the style of any picture" \
      org.opencontainers.image.licenses="MIT"
COPY --from=build /opt/impasto /opt/impasto
ENV PATH=/opt/impasto/bin:$PATH \
    PYTHONUNBUFFERED=1 \
    PYTHONDONTWRITEBYTECODE=1 \
    IMPASTO_HOST=0.0.0.0 \
    IMPASTO_PORT=8000
# By number, so that Kubernetes can tell it is not root.
USER 10001:10001
WORKDIR /tmp
EXPOSE 8000
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=10s --timeout=3s --start-period=30s --retries=3 \
    CMD ["python", "-c", "import os, urllib.request as r; r.urlopen('http://127.0.0.1:' + os.environ['IMPASTO_PORT'] + '/healthz', timeout=2)"]
ENTRYPOINT ["impasto"]
CMD ["serve"]
