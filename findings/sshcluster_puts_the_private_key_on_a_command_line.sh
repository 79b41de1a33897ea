#!/usr/bin/env bash
# distributed's SSHCluster puts all of Dask's configuration, private keys included, on a command line of the workers' hosts.
#
# distributed 2026.8.0, asyncssh 2.24.1, cryptography 50.0.2. Expected: a worker that is started over ssh gets what it needs
# of the configuration by a file or its standard input. Seen: `env DASK_INTERNAL_INHERIT_CONFIG=...` holds the whole of
# `dask.config.global_config`, in base64, so that whoever may list processes on such a host (`ps`) reads a key that
# was set there as text, as `Security.temporary()` makes it. A key that is named by the path of a private file stays one. Here no host
# is reached: what would be sent to the shell is caught.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet distributed==2026.8.0 asyncssh==2.24.1 cryptography==50.0.2

cat > "$folder/expected" <<'TEXT'
key as text: on the command line
key by path: not there
TEXT

"$folder/venv/bin/python" > "$folder/seen" <<'PYTHON'
import asyncio
import re
from types import SimpleNamespace

import asyncssh
import dask
from distributed import Security
from distributed.deploy.ssh import Worker

KEY = "distributed.comm.tls.worker.key"


class Caught(Exception):
    pass


class Connection:
    async def run(self, command):
        return SimpleNamespace(exit_status=0)

    async def create_process(self, command):
        raise Caught(command)


async def connect(*arguments, **options):
    return Connection()


async def command_line():
    try:
        await Worker("tls://scheduler:1", "host", {}, {}).start()
    except Caught as caught:
        return str(caught)


asyncssh.connect = connect
text = Security.temporary().tls_worker_key
secret = text.splitlines()[1]
for how, key in (("as text", text), ("by path", "/shared/private/key.pem")):
    with dask.config.set({KEY: key}):
        line = asyncio.run(command_line())
    (sent,) = re.findall(r'DASK_INTERNAL_INHERIT_CONFIG="(.+?)"', line)
    found = secret in str(dask.config.deserialize(sent))
    print(f"key {how}:", "on the command line" if found else "not there")
PYTHON
cat "$folder/seen"
diff "$folder/expected" "$folder/seen"
