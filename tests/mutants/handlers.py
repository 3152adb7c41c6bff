"""Faults of what signal handlers raise, and of what a trace callable raises."""

from __future__ import annotations

from tests.mutants.mutant import Mutant

FOLDER = "."

ERRORS = ("connection/test_handler_errors.py",)
STARTS = ("engine/test_spare_threads.py",)
TRACE = ("connection/test_trace.py",)

MUTANTS = (
    Mutant(
        "a thread that a handler kept from starting holds its work",
        "    except BaseException as error:\n        given.clear()\n",
        "    except BaseException as error:\n",
        STARTS,
    ),
    Mutant(
        "an error of threading leaves the call in place of what a handler raised",
        "            raise error.__context__ from error.__context__.__cause__\n        raise\n",
        "            raise\n        raise\n",
        STARTS,
    ),
    Mutant(
        "the end of another connection ends an iteration",
        "in _QUIET_CODES or is_raised_by_handler(closed):",
        "in _QUIET_CODES:",
        ERRORS,
    ),
    Mutant(
        "what a handler raises is an attempt that failed",
        "            if not engine.has_failed_with(error):",
        "            if not isinstance(error, Exception):",
        ERRORS,
    ),
    Mutant(
        "a trace callable runs on the caller's thread",
        " or is_patched() or engine.tracer is not None:",
        " or is_patched():",
        TRACE,
    ),
    Mutant("handlers in C count as known", "    return can_tell_handlers()", "    return True", ERRORS),
    Mutant(
        "a handler that puts another one in its place is forgotten",
        "                _codes.add(code)",
        "                pass",
        ERRORS,
    ),
    Mutant(
        "a partial is a handler in C",
        "            handler = handler.func\n",
        "            return None\n",
        ERRORS,
    ),
    Mutant(
        "every KeyboardInterrupt is Ctrl-C",
        '    return step != bytes([opcode.opmap["RAISE_VARARGS"]])',
        "    return True",
        TRACE,
    ),
    Mutant(
        "no KeyboardInterrupt is Ctrl-C",
        '    return step != bytes([opcode.opmap["RAISE_VARARGS"]])',
        "    return False",
        TRACE,
    ),
    Mutant(
        "what a handler raises in a filter is a fault of logging",
        "        pass_on(error)\n        hook",
        "        hook",
        ERRORS,
    ),
)
