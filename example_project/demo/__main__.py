"""``python -m example_project.demo``: generate documents end to end, print results, clean up."""

import sys
import time

from example_project.demo.processes import (
    LOGS,
    Processes,
    argument_parser,
    main,
    remove_generated_files,
    start_site,
)

# Seconds that the command may take, after the deadline, to report unfinished documents.
REPORT_SECONDS = 30
NEXT_STEPS = """
Next:
  make serve                           open the shop in your browser, as a customer and as staff
  make serve ARGS="--port 8080"        the same on another port
  docs/tutorial/first-document.md      build the shop yourself, step by step
  README.md                            add the package to a project of yours"""


def demo() -> None:
    """Start the site, generate the documents, stop the site."""
    parser = argument_parser(__doc__, port=0)
    parser.add_argument(
        "--deadline", type=float, default=90, help="time limit for the whole run, in seconds"
    )
    options = parser.parse_args()
    remove_generated_files()
    LOGS.mkdir(parents=True)
    with Processes(options.deadline) as processes:
        start_site(
            processes, port=options.port, sandbox_port=options.sandbox_port, delay=options.delay
        )
        # The time at which to give up, not a duration: the command itself takes a while to start.
        until = f"--until={time.time() + processes.remaining}"
        processes.run("demo", "-m", "django", "demo_documents", until, grace=REPORT_SECONDS)
    print(NEXT_STEPS)


if __name__ == "__main__":
    sys.exit(main(demo))
