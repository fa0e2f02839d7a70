# Stage one: everything is installed into /opt/recovery, from pinned versions with hashes.
FROM python:3.11.13-slim-bookworm AS build
WORKDIR /src
COPY requirements/run.txt requirements/run.txt
RUN python -m venv /opt/recovery \
 && /opt/recovery/bin/pip install --no-cache-dir --require-hashes -r requirements/run.txt
COPY pyproject.toml README.md LICENSE ./
COPY requirements/run.in requirements/run.in
COPY config config
COPY recovery recovery
RUN /opt/recovery/bin/pip install --no-cache-dir --no-deps . \
 && /opt/recovery/bin/python -m compileall -q /opt/recovery

# Stage two: Python and that folder, no compiler, no package manager's leftovers, nobody's home.
FROM python:3.11.13-slim-bookworm
COPY --from=build /opt/recovery /opt/recovery
ENV PATH=/opt/recovery/bin:$PATH \
    PYTHONUNBUFFERED=1 \
    PYTHONDONTWRITEBYTECODE=1
USER 65532:65532
EXPOSE 8080
ENTRYPOINT ["recovery"]
CMD ["run"]
