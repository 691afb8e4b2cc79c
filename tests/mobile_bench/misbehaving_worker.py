"""A worker process that does what the request says, for the tests of its starter."""

import os
import signal
import sys
import time

for line in sys.stdin:
    if "die" in line:
        print("something went wrong here", file=sys.stderr, flush=True)
        os._exit(7)
    elif "killed" in line:
        os.kill(os.getpid(), signal.SIGKILL)
    elif "hang" in line:
        time.sleep(600)
    else:
        print("no JSON at all", flush=True)
