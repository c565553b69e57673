# The image of a member. `docker build .` makes the last stage: one static file on a distroless base, under 20 MB.
# `--target workshop` has the same member, a shell and tools. `--target reference` is that image with the entrypoint that stands in
# for k8spatterns/random-generator (docs/reference.md), and runs the member if one is configured.

FROM rust:1.95-slim-bookworm AS build
WORKDIR /src
COPY . .
# The caches are Docker's, not a layer's: downloaded crates, and what was compiled of them. One build at a time uses the latter.
RUN --mount=type=cache,target=/usr/local/cargo/registry \
    --mount=type=cache,target=/src/target,sharing=locked \
    docker/build-static random-generator /out/random-generator
# A volume mounted by Docker takes its owner from the directory below it.
RUN install -d -o 65532 -g 65532 /out/logs


FROM build AS build-reference
RUN --mount=type=cache,target=/usr/local/cargo/registry \
    --mount=type=cache,target=/src/target,sharing=locked \
    docker/build-static random-generator-reference /out/random-generator-reference


FROM debian:bookworm-slim AS workshop
# curl and jq ask members, dig asks DNS for their SRV records, ps and ss show the process, sqlite3 opens its journal; wget and
# nslookup are called by manifests of the reference image.
RUN --mount=type=cache,target=/var/cache/apt,sharing=locked \
    --mount=type=cache,target=/var/lib/apt,sharing=locked \
    apt-get update -qq \
 && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends \
      bind9-dnsutils ca-certificates curl iproute2 jq less procps sqlite3 wget
COPY --from=build /out/random-generator /usr/local/bin/random-generator
COPY --from=build-reference /out/random-generator-reference /usr/local/bin/random-generator-reference
COPY --from=build --chown=65532:65532 /out/logs /logs
# Manifests of the reference image call `java`. They write /numbers.txt, which only root could create.
RUN ln -s random-generator-reference /usr/local/bin/java \
 && install -m 0666 /dev/null /numbers.txt
ENV RANDOM_GENERATOR_DATA_DIR=/logs
USER 65532:65532
EXPOSE 8080 8081 9797
ENTRYPOINT ["/usr/local/bin/random-generator"]
ARG VERSION=unknown
ARG REVISION=unknown
ARG SOURCE=unknown
LABEL org.opencontainers.image.title="random-generator, for workshops" \
      org.opencontainers.image.description="A clustered random-number service, the reference workload for StatefulSets; with a shell and tools" \
      org.opencontainers.image.licenses="Apache-2.0" \
      org.opencontainers.image.source="$SOURCE" \
      org.opencontainers.image.version="$VERSION" \
      org.opencontainers.image.revision="$REVISION"


FROM workshop AS reference
# The version of the tag: `--build-arg REFERENCE_VERSION=2.0` for :2.0.
ARG REFERENCE_VERSION=1.0
ENV RANDOM_GENERATOR_REFERENCE_VERSION=$REFERENCE_VERSION
# As the image that it stands in for: manifests have it write to volumes that only root may write, such as a directory of the node.
USER 0:0
ENTRYPOINT ["/usr/local/bin/random-generator-reference"]


FROM gcr.io/distroless/static-debian12:nonroot AS member
COPY --from=build /out/random-generator /usr/local/bin/random-generator
COPY --from=build --chown=65532:65532 /out/logs /logs
# The one directory that a member writes to; the rest of the file system may be read-only.
ENV RANDOM_GENERATOR_DATA_DIR=/logs
# By number: `runAsNonRoot` can't see that a name isn't root's.
USER 65532:65532
EXPOSE 8080 8081 9797
# As a list, without a shell between: SIGTERM reaches the member itself.
ENTRYPOINT ["/usr/local/bin/random-generator"]
# Last, so that a new revision of the same binary shares every layer.
ARG VERSION=unknown
ARG REVISION=unknown
ARG SOURCE=unknown
LABEL org.opencontainers.image.title="random-generator" \
      org.opencontainers.image.description="A clustered random-number service, the reference workload for StatefulSets" \
      org.opencontainers.image.licenses="Apache-2.0" \
      org.opencontainers.image.source="$SOURCE" \
      org.opencontainers.image.version="$VERSION" \
      org.opencontainers.image.revision="$REVISION"
