#!/usr/bin/env bash
# What background work prints after its cell has ended is kept or lost by how it was started, and by the kernel's version.
#
# nbclient 0.11.0, ipykernel 6.31.0 and 7.4.0; Python 3.11. One cell starts five ways of background work, which wait; the
# next cell lets them go and waits for all of them. Each prints, and updates a display that the first cell had shown for it.
# Expected: one rule for all of it, and nothing lost, since a cell that runs has waited for the work. Seen: nbclient drops,
# without a word, whatever is sent in the name of a cell that it has done with. ipykernel 6 sends every late print in the
# name of the first cell and every update in that of the running cell: no print is kept, all displays are right. ipykernel
# 7 goes by the context: what has a copy of the first cell's (tasks, callbacks of futures, asyncio.to_thread) loses prints
# and updates, so that a progress display stays at its first state; what has none (run_in_executor, threading.Thread) keeps
# both, the print in the cell that runs. So with the newer kernel, two calls of asyncio for the same pool of threads,
# to_thread and run_in_executor, differ. papermill executes by nbclient.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
export JUPYTER_DATA_DIR=$folder/data JUPYTER_RUNTIME_DIR=$folder/runtime JUPYTER_CONFIG_DIR=$folder/config
export IPYTHONDIR=$folder/ipython

cat > "$folder/expected" <<'TEXT'
ipykernel 6.31.0
task: printed for cell 1, kept in none, display updated
callback: printed for cell 1, kept in none, display updated
to_thread: printed for cell 1, kept in none, display updated
executor: printed for cell 1, kept in none, display updated
thread: printed for cell 1, kept in none, display updated
ipykernel 7.4.0
task: printed for cell 1, kept in none, display stays
callback: printed for cell 1, kept in none, display stays
to_thread: printed for cell 1, kept in none, display stays
executor: printed for cell 2, kept in cell 2, display updated
thread: printed for cell 2, kept in cell 2, display updated
TEXT

cat > "$folder/late.py" <<'PYTHON'
import nbformat
from jupyter_client.manager import start_new_kernel
from nbclient import NotebookClient

WAYS = ["task", "callback", "to_thread", "executor", "thread"]
START = f"""
import asyncio, threading
from IPython.display import display

go, released, in_turn = threading.Event(), asyncio.Event(), threading.Lock()
handles = {{way: display(way + " waits", display_id=way) for way in {WAYS}}}

def say(way):
    with in_turn:
        print(way, "prints", flush=True)
        handles[way].update(way + " is done")

def wait_and_say(way):
    go.wait()
    say(way)

async def wait_and_say_in_task():
    await released.wait()
    say("task")

loop = asyncio.get_running_loop()
future = loop.create_future()
future.add_done_callback(lambda _: say("callback"))
work = [
    loop.create_task(wait_and_say_in_task()),
    loop.create_task(asyncio.to_thread(wait_and_say, "to_thread")),
    loop.run_in_executor(None, wait_and_say, "executor"),
]
thread = threading.Thread(target=wait_and_say, args=["thread"])
thread.start()
"""
RELEASE = """
go.set()
released.set()
future.set_result(None)
await asyncio.gather(*work)
thread.join()
"""
CELLS = [START, RELEASE, "await asyncio.sleep(1)"]


def senders():
    """The cell in whose name the kernel sends each line, whoever listens."""
    manager, client = start_new_kernel()
    cells = [client.execute(cell) for cell in CELLS]
    found = {}
    while True:
        message = client.get_iopub_msg(timeout=60)
        cell, content = message["parent_header"].get("msg_id"), message["content"]
        if message["msg_type"] == "stream":
            for line in content["text"].splitlines():
                found[line] = cells.index(cell) + 1
        if cell == cells[-1] and content.get("execution_state") == "idle":
            break
    client.stop_channels()
    manager.shutdown_kernel()
    return found


notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(cell) for cell in CELLS])
NotebookClient(notebook, kernel_name="python3").execute()
kept, shown = {}, []
for number, cell in enumerate(notebook.cells, 1):
    for output in cell.outputs:
        if output.output_type == "stream":
            kept.update((line, f"cell {number}") for line in output.text.splitlines())
        else:
            shown.append(output.data["text/plain"])
sent = senders()
for way in WAYS:
    line = f"{way} prints"
    display = "updated" if f"'{way} is done'" in shown else "stays"
    print(f"{way}: printed for cell {sent[line]}, kept in {kept.get(line, 'none')}, display {display}")
PYTHON

for version in 6.31.0 7.4.0; do
    "$folder/venv/bin/pip" install --quiet nbclient==0.11.0 "ipykernel==$version"
    echo "ipykernel $version"
    "$folder/venv/bin/python" "$folder/late.py"
done > "$folder/seen"
cat "$folder/seen"
diff "$folder/expected" "$folder/seen"
