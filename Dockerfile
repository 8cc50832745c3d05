# From source, for whoever can pull the two images below:
#   docker build -t llm-router .
#   docker run --rm -p 127.0.0.1:8080:8080 -v llm-router:/var/lib/llm-router/data llm-router \
#     serve --http 0.0.0.0:8080 --insecure-no-auth
# Published on loopback alone, because a node without keys answers anybody; the weights of the semantic
# tier are mounted read-only at /usr/share/llm-router/models.
ARG BASE=debian:12-slim

FROM rust:1.95-slim-bookworm AS build
RUN apt-get update && \
    apt-get install -y --no-install-recommends g++ libclang-dev && \
    rm -rf /var/lib/apt/lists/*
WORKDIR /source
COPY . .
RUN cargo build --release --workspace --bins --config 'profile.release.strip=true' && \
    mkdir -p /out && cp target/release/llm-router target/release/llm-router-testnet /out/

FROM ${BASE} AS base
RUN apt-get update && \
    apt-get install -y --no-install-recommends ca-certificates && \
    rm -rf /var/lib/apt/lists/* && \
    useradd --uid 10001 --user-group --no-create-home --home-dir /var/lib/llm-router llm-router && \
    install -d -o 10001 -g 10001 -m 1777 /var/lib/llm-router/data
USER 10001:10001
WORKDIR /var/lib/llm-router

FROM base AS tools
COPY --from=build /out/llm-router-testnet /usr/local/bin/
ENTRYPOINT ["/usr/local/bin/llm-router-testnet"]

FROM base AS node
COPY --from=build /out/llm-router /usr/local/bin/
ENV LLM_ROUTER_DATA=/var/lib/llm-router/data LLM_ROUTER_MODELS=/usr/share/llm-router/models
EXPOSE 8080 50051 7400
HEALTHCHECK --interval=5s --timeout=3s --start-period=30s CMD ["/usr/local/bin/llm-router", "healthcheck"]
ENTRYPOINT ["/usr/local/bin/llm-router"]
CMD ["serve"]
