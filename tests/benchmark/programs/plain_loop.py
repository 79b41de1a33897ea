"""Execute a template once a network, one after another, each in a directory of its own below this one.

It stands for what people write who have papermill and not this project. The arguments are a JSON object
of networks, names and parameters, and the path of the template.
"""

import json
import sys
from pathlib import Path

import papermill

networks, template = sys.argv[1:]
for name, parameters in json.loads(networks).items():
    Path(name).mkdir()
    papermill.execute_notebook(
        template, f"{name}/log.ipynb", parameters=parameters, cwd=name, progress_bar=False
    )
