# mahtdiag on a GPU of NVIDIA, with the versions that its tests saw:
#   docker build -f docker/cuda.Dockerfile -t mahtdiag:cuda .
ARG BASE=python:3.11-slim-bookworm
FROM ${BASE}

# An index with builds of torch, beside PyPI, whose own are for CUDA; PyTorch has some for older drivers.
ARG TORCH_INDEX=https://pypi.org/simple
ARG EXTRAS=dicom,sleap,onnx

COPY constraints.txt /src/
RUN pip install --no-cache-dir -c /src/constraints.txt --extra-index-url "${TORCH_INDEX}" torch
COPY pyproject.toml README.md LICENSE /src/
COPY mahtdiag /src/mahtdiag
RUN pip install --no-cache-dir -c /src/constraints.txt "/src[${EXTRAS}]"

# Any --user may keep caches and write into the working folder.
RUN useradd --no-create-home --home-dir /cache --uid 1000 mahtdiag && mkdir -m 1777 /cache /work /data
ENV HOME=/cache USER=mahtdiag MPLCONFIGDIR=/cache/matplotlib PYTHONDONTWRITEBYTECODE=1
# What the NVIDIA container toolkit asks for.
ENV NVIDIA_VISIBLE_DEVICES=all NVIDIA_DRIVER_CAPABILITIES=compute,utility
VOLUME ["/data"]
WORKDIR /work
USER 1000:1000
ENTRYPOINT ["mahtdiag"]
CMD ["--help"]
