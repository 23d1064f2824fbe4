# mahtdiag on the processor, with the versions that its tests saw:
#   docker build -f docker/cpu.Dockerfile -t mahtdiag:cpu .
ARG BASE=python:3.11-slim-bookworm
FROM ${BASE}

# An index with builds of torch, beside PyPI: PyTorch's own for the processor, or a mirror of it.
ARG TORCH_INDEX=https://download.pytorch.org/whl/cpu
ARG EXTRAS=dicom,sleap,onnx

COPY constraints.txt /src/
RUN pip install --no-cache-dir -c /src/constraints.txt --extra-index-url "${TORCH_INDEX}" torch
COPY pyproject.toml README.md LICENSE /src/
COPY mahtdiag /src/mahtdiag
RUN pip install --no-cache-dir -c /src/constraints.txt "/src[${EXTRAS}]"

# Any --user may keep caches and write into the working folder.
RUN useradd --no-create-home --home-dir /cache --uid 1000 mahtdiag && mkdir -m 1777 /cache /work /data
ENV HOME=/cache USER=mahtdiag MPLCONFIGDIR=/cache/matplotlib PYTHONDONTWRITEBYTECODE=1
VOLUME ["/data"]
WORKDIR /work
USER 1000:1000
ENTRYPOINT ["mahtdiag"]
CMD ["--help"]
