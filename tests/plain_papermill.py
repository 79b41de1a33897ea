"""Execute a notebook by papermill alone, as somebody does who has no runner: NOTEBOOK LOG [PARAMETERS, as JSON].

Its kernel's sockets are files. jupyter_client 8 (connect.py, write_connection_file) looks for TCP ports that are free and
lets go of them until the kernel binds them: another test's kernel may be quicker.
"""

import json
import sys
import tempfile

import papermill
from jupyter_client.manager import AsyncKernelManager
from traitlets import default


class KernelManager(AsyncKernelManager):
    """A manager of kernels whose sockets are files."""

    @default("transport")
    def _transport_of_files(self) -> str:
        return "ipc"

    @default("ip")
    def _ip_of_files(self) -> str:
        return f"{directory}/s"


with tempfile.TemporaryDirectory() as directory:
    notebook, log, *parameters = sys.argv[1:]
    papermill.execute_notebook(
        notebook, log, *map(json.loads, parameters), progress_bar=False, kernel_manager_class=KernelManager
    )
