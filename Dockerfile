# One image for every role: `rubato api`, `rubato worker`, `rubato migrate`. Built in two stages; runs without root, and with a read-only root.
FROM python:3.13-slim-bookworm AS build

ENV PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_CACHE_DIR=1
WORKDIR /src
RUN python -m venv /opt/rubato
COPY requirements/runtime.txt requirements/runtime.txt
RUN /opt/rubato/bin/pip install --require-hashes --requirement requirements/runtime.txt
COPY pyproject.toml README.md LICENSE ./
COPY core core
COPY tools tools
COPY planner planner
COPY api api
COPY worker worker
COPY evals evals
COPY rubato rubato
RUN python -m venv /opt/build && /opt/build/bin/pip install hatchling \
    && /opt/build/bin/python -m hatchling build -t wheel -d /dist \
    && /opt/rubato/bin/pip install --no-deps /dist/*.whl

FROM python:3.13-slim-bookworm

LABEL org.opencontainers.image.title="Rubato" \
      org.opencontainers.image.description="An adaptive scheduler for HTTP jobs" \
      org.opencontainers.image.licenses="Apache-2.0"
RUN groupadd --system --gid 10001 rubato \
    && useradd --system --uid 10001 --gid rubato --home-dir /nonexistent --no-create-home --shell /usr/sbin/nologin rubato
COPY --from=build /opt/rubato /opt/rubato

ENV PATH=/opt/rubato/bin:$PATH \
    PYTHONDONTWRITEBYTECODE=1 \
    PYTHONUNBUFFERED=1 \
    RUBATO_ENV=production \
    RUBATO_HOST=0.0.0.0
USER 10001:10001
WORKDIR /tmp
# 3000: the API. 3001: a worker's health and metrics.
EXPOSE 3000 3001
STOPSIGNAL SIGTERM
# Whichever of the two this container serves; a one-shot command ends before it is asked.
HEALTHCHECK --interval=15s --timeout=5s --start-period=30s --retries=3 CMD ["python", "-c", "import os, urllib.request as r\nfor port in (os.environ.get('PORT', '3000'), os.environ.get('RUBATO_WORKER_PORT', '3001')):\n    try:\n        raise SystemExit(r.urlopen(f'http://127.0.0.1:{port}/readyz', timeout=4).status != 200)\n    except OSError:\n        continue\nraise SystemExit(1)"]
ENTRYPOINT ["rubato"]
CMD ["api"]
