# One image for the service and the indexer: `serve` (the default) and `index --watch ...` are commands of the same program.
# docs/deploy.md says how to build and run it.

FROM python:3.11-slim-bookworm AS builder

# The model that the image is for. Every model but `demo` needs PyTorch and transformers: the extra `models`.
ARG MODEL=demo

# An additional package index for pip. PyTorch's index of CPU wheels makes an image with PyTorch several gigabytes smaller.
ARG PIP_EXTRA_INDEX_URL

# Names of extras, separated by commas: `milvus` and `chroma` for VECTOR_STORE, `ray` for `index --engine ray`, `models`
# for PyTorch on a GPU.
ARG EXTRAS

ENV PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_CACHE_DIR=1
RUN python -m venv /opt/venv
ENV PATH=/opt/venv/bin:$PATH
WORKDIR /srv/image2search

# Dependencies come first, so a change of the code does not install them again.
# The install is editable: `app` and `indexer` stay here, beside the demo model, and are copied in below.
COPY pyproject.toml constraints.txt LICENSE THIRD_PARTY_NOTICES.md ./
RUN mkdir app indexer && touch README.md app/__init__.py indexer/__init__.py \
    && if [ "${MODEL:-demo}" != demo ]; then EXTRAS="models${EXTRAS:+,$EXTRAS}"; fi \
    && pip install --constraint constraints.txt --editable ".${EXTRAS:+[$EXTRAS]}"

COPY app ./app
COPY indexer ./indexer
RUN python -m compileall -q app indexer


FROM python:3.11-slim-bookworm

RUN groupadd --gid 10001 image2search \
    && useradd --uid 10001 --gid 10001 --no-create-home --home-dir /cache --shell /usr/sbin/nologin image2search \
    && mkdir -p /srv/image2search/data /cache \
    && chown 10001:10001 /srv/image2search/data /cache

ENV PATH=/opt/venv/bin:$PATH \
    PYTHONUNBUFFERED=1 \
    PYTHONDONTWRITEBYTECODE=1 \
    HF_HOME=/cache/huggingface \
    MODEL_CACHE=/cache/models \
    STORAGE_URL=file://data \
    HOST=0.0.0.0 \
    PORT=8000

WORKDIR /srv/image2search
COPY --from=builder /opt/venv /opt/venv
COPY --from=builder /srv/image2search ./
COPY scripts/fill_bucket.py ./scripts/
COPY models ./models
COPY web/dist ./web/dist
COPY samples ./samples

USER 10001:10001
VOLUME ["/srv/image2search/data", "/cache"]
EXPOSE 8000

# Only the service answers this. To run the indexer from this image, turn it off, as docker-compose.yml does.
HEALTHCHECK --interval=15s --timeout=5s --start-period=60s --retries=3 \
    CMD ["python", "-c", "import os, urllib.request as u; u.build_opener(u.ProxyHandler({})).open('http://127.0.0.1:' + os.environ['PORT'] + '/health/live', timeout=4)"]

ENTRYPOINT ["image2search"]
CMD ["serve"]
