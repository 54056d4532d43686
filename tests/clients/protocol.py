"""Is the descriptor set that the server shows made of its protocol file? Compiles the file again and compares:

    python protocol.py flight/proto
"""

import pathlib
import sys
import tempfile

from google.protobuf.descriptor_pb2 import FileDescriptorSet
from grpc_tools import protoc
import grpc_tools


def main(arguments):
    if len(arguments) != 1:
        print(__doc__, file=sys.stderr)
        return 2
    folder = pathlib.Path(arguments[0])
    included = pathlib.Path(grpc_tools.__file__).parent / "_proto"
    with tempfile.TemporaryDirectory() as scratch:
        made = pathlib.Path(scratch) / "Flight.binpb"
        failed = protoc.main(
            ["protoc", f"-I{folder}", f"-I{included}", "--include_imports", f"--descriptor_set_out={made}", "Flight.proto"]
        )
        if failed:
            return failed
        made = FileDescriptorSet.FromString(made.read_bytes())
    shown = FileDescriptorSet.FromString((folder / "Flight.binpb").read_bytes())
    assert made == shown, "Flight.binpb is not made of Flight.proto: its first lines say how it is made"
    print(f"{len(shown.file)} files, {len(shown.file[-1].service[0].method)} methods")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
