# Both images: docker build --target service . and docker build --target operator .
# PYTHON_IMAGE is pinned by whoever builds a release: docker build --build-arg PYTHON_IMAGE=python:3.13-slim@sha256:…
ARG PYTHON_IMAGE=python:3.13-slim

FROM ${PYTHON_IMAGE} AS build
WORKDIR /src
# The packages of both programs, each set by name, version and hash.
COPY requirements/service.txt requirements/operator.txt requirements/build.txt requirements/
RUN python -m venv /opt/service && /opt/service/bin/pip install --no-cache-dir --require-hashes -r requirements/service.txt \
 && python -m venv /opt/operator && /opt/operator/bin/pip install --no-cache-dir --require-hashes -r requirements/operator.txt \
 && python -m venv /opt/build && /opt/build/bin/pip install --no-cache-dir --require-hashes -r requirements/build.txt
COPY . .
RUN /opt/build/bin/python -m build --wheel --no-isolation --outdir /dist \
 && /opt/service/bin/pip install --no-cache-dir --no-deps /dist/*.whl \
 && /opt/operator/bin/pip install --no-cache-dir --no-deps /dist/*.whl

FROM ${PYTHON_IMAGE} AS program
ENV PYTHONDONTWRITEBYTECODE=1 PYTHONUNBUFFERED=1
USER 65532:65532

FROM program AS service
COPY --from=build /opt/service /opt/service
ENV PATH=/opt/service/bin:$PATH
EXPOSE 9191 9192
ENTRYPOINT ["stepguard-service"]

FROM program AS operator
COPY --from=build /opt/operator /opt/operator
ENV PATH=/opt/operator/bin:$PATH
EXPOSE 9193 9194
ENTRYPOINT ["stepguard-operator"]
