"""Run the command in the arguments; print the most memory that it had at once, in KiB (as Linux counts).

It stands for a shell that has nothing in memory: the peak of a process includes what the process that
started it had in memory just then, and the benchmark itself has too much.
"""

import resource
import subprocess
import sys

subprocess.run(sys.argv[1:], capture_output=True, check=True)
print(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss)
