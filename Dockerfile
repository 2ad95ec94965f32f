# The service on an exported forecaster: no PyTorch, no root. See docs/service.md.
FROM python:3.12-slim-bookworm AS build
WORKDIR /source
COPY pyproject.toml README.md LICENSE ./
COPY socialgraph socialgraph
COPY data_prep data_prep
RUN pip wheel --no-cache-dir --no-deps --wheel-dir /wheels .

FROM python:3.12-slim-bookworm
COPY --from=build /wheels /wheels
# What the service imports; the dependencies of training are left out.
RUN pip install --no-cache-dir --no-compile --no-deps /wheels/*.whl \
    && pip install --no-cache-dir --no-compile \
        "numpy==2.4.6" "pyarrow==26.0.1" "onnxruntime==1.32.0" "holidays==0.109" "tzdata==2025.2" \
        "fastapi==0.165.0" "uvicorn==0.54.0" "prometheus-client==0.26.0" "swagger-ui-bundle==1.1.0" \
    && useradd --system --uid 10001 --home-dir /state socialgraph \
    && install --directory --owner=10001 /state
USER 10001
VOLUME /state
EXPOSE 8000
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=30s --timeout=5s --start-period=20s \
    CMD ["python", "-c", "import urllib.request; urllib.request.urlopen('http://127.0.0.1:8000/health', timeout=4)"]
ENTRYPOINT ["socialgraph", "serve", "--host", "0.0.0.0", "--state", "/state/stream.db"]
CMD ["--ckpt_path", "/model/forecast.onnx", "--token_file", "/run/secrets/token"]
