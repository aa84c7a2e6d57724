# syntax=docker/dockerfile:1
# Two images: docs/how-to/run-in-a-container.md says how to build and run them.
#   docker build --target apply -t editc:apply .    apply, revert, status, inspect, check, doctor, sign, push, pull: no torch
#   docker build --target build -t editc:build .    build, verify and attack too, with torch for CPUs

ARG PYTHON=3.13

FROM python:${PYTHON}-slim AS source
WORKDIR /src
COPY pyproject.toml constraints.txt README.md LICENSE ./
COPY editc editc
COPY passes passes
COPY formats formats
COPY manifests manifests
RUN python -m venv /opt/editc

FROM source AS install-apply
RUN /opt/editc/bin/python -m pip install --no-cache-dir -c constraints.txt '.[sign,hub,oci]'

FROM source AS install-build
# For another build of torch, such as CUDA's: --build-arg TORCH_INDEX=https://download.pytorch.org/whl/cu130
ARG TORCH_INDEX=https://download.pytorch.org/whl/cpu
RUN /opt/editc/bin/python -m pip install --no-cache-dir -c constraints.txt --extra-index-url "$TORCH_INDEX" \
    '.[build,sign,hub,oci]'

FROM python:${PYTHON}-slim AS runtime
RUN useradd --create-home --uid 10001 editc
# The cache is where any user may write, so that `docker run --user` works.
ENV PATH=/opt/editc/bin:$PATH EDITC_CACHE=/tmp/editc-cache
USER 10001
WORKDIR /work
ENTRYPOINT ["editc"]
CMD ["--help"]

FROM runtime AS build
COPY --from=install-build /opt/editc /opt/editc

# The last one is what `docker build` makes if no target is named.
FROM runtime AS apply
COPY --from=install-apply /opt/editc /opt/editc
