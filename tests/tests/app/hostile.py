"""An app that looks for what is not its own. Its own page says that it is there; POST /try answers what it got at."""

import ctypes, errno, http.server, json, os, signal, socket, urllib.error, urllib.request

libc = ctypes.CDLL(None, use_errno=True)
MOST = 1 << 20
# Programs, and what is no file.
DULL = ("/proc", "/sys", "/dev", "/usr", "/lib", "/bin", "/sbin", "/opt")
PTRACE_ATTACH, PTRACE_DETACH = 16, 17


def attempt(work):
    try:
        return work()
    except OSError as error:
        return errno.errorcode.get(error.errno, str(error))


def content(path):
    with open(path, "rb") as file:
        return file.read(MOST)


def strangers():
    """Every process but this one with its threads, also those that are not shown."""
    numbers = [int(name) for name in os.listdir("/proc") if name.isdigit()]
    own = {0, *(int(name) for name in os.listdir("/proc/self/task"))}
    return {*numbers, *range(1, 200), os.getppid()} - own


def is_there(pid):
    return os.path.isdir(f"/proc/{pid}")


def is_denied(result):
    return isinstance(result, str) or not result


def look_into(pid, found):
    for name in ("environ", "mem", "maps", "auxv", "stack", "syscall", "io"):
        if not is_denied(attempt(lambda: content(f"/proc/{pid}/{name}"))):
            found["processes"].append(f"{pid}/{name}")
    for name in ("cwd", "root"):
        if not is_denied(attempt(lambda: os.listdir(f"/proc/{pid}/{name}/"))):
            found["processes"].append(f"{pid}/{name}")
    # Of files that are open the same user sees the numbers, and that is no harm.
    open_ones = attempt(lambda: os.listdir(f"/proc/{pid}/fd"))
    for number in [] if is_denied(open_ones) else open_ones:
        if attempt(lambda: open(f"/proc/{pid}/fd/{number}").close() or "open") == "open":
            found["processes"].append(f"{pid}/fd/{number}")
    if libc.ptrace(PTRACE_ATTACH, pid, None, None) == 0:
        found["processes"].append(f"{pid}/ptrace")
        os.waitpid(pid, 0)
        libc.ptrace(PTRACE_DETACH, pid, None, None)
    if attempt(lambda: os.kill(pid, 0)) is None:
        found["signals"].append(pid)


def look_through(root, needles, found):
    for folder, folders, files in os.walk(root):
        folders[:] = [name for name in folders if not os.path.join(folder, name).startswith(DULL)]
        for path in (os.path.join(folder, name) for name in files):
            bytes_ = attempt(lambda: content(path)) if os.path.isfile(path) else None
            if not isinstance(bytes_, bytes):
                continue
            found["read"].append(path)
            if any(needle in bytes_ for needle in needles):
                found["needles"].append(path)


def ask_socket(path):
    with socket.socket(socket.AF_UNIX) as client:
        client.settimeout(10)
        client.connect(path)
        client.sendall(b"GET /v1/types HTTP/1.0\r\nHost: x\r\n\r\n")
        return client.recv(64).split(b"\r\n")[0].decode()


def ask(url):
    try:
        return urllib.request.urlopen(url, timeout=10).status
    except urllib.error.HTTPError as error:
        return error.code
    except OSError as error:
        return str(error)


def attack(told):
    needles = [needle.encode() for needle in told["needles"]]
    found = {"processes": [], "signals": [], "read": [], "needles": [], "seen": []}
    for pid in strangers():
        if is_there(pid):
            found["seen"].append(pid)
        look_into(pid, found)
        line = attempt(lambda: content(f"/proc/{pid}/cmdline"))
        if isinstance(line, bytes) and any(needle in line for needle in needles):
            found["needles"].append(f"/proc/{pid}/cmdline")
    for root in told["paths"]:
        look_through(root, needles, found)
    found["listed"] = [path for path in told["paths"] if isinstance(attempt(lambda: os.listdir(path)), list)]
    found["opened"] = [path for path in told["files"] if isinstance(attempt(lambda: content(path)), bytes)]
    found["written"] = [path for path in told["writes"] if attempt(lambda: open(path, "a").close()) is None]
    found["sockets"] = [attempt(lambda: ask_socket(path)) for path in told["sockets"]]
    found["urls"] = [ask(url) for url in told["urls"]]
    found["root"] = attempt(lambda: os.setuid(0))
    found["mounted"] = libc.mount(b"none", b"/tmp", b"tmpfs", 0, None) == 0
    found["groups"], found["user"], found["folder"] = os.getgroups(), os.getuid(), os.getcwd()
    with open("/proc/self/status") as status:
        wanted = ("CapEff", "CapPrm", "CapBnd", "NoNewPrivs", "Seccomp")
        lines = (line.split(":") for line in status)
        found["status"] = {name: value.strip() for name, value in lines if name in wanted}
    return found


class Handler(http.server.BaseHTTPRequestHandler):
    def answer(self, body):
        self.send_response(200)
        self.end_headers()
        self.wfile.write(body)

    def do_GET(self):
        if self.path == "/kill":
            for pid in strangers():
                attempt(lambda: os.kill(pid, signal.SIGKILL))
        self.answer(b"harmless")

    def do_POST(self):
        told = json.loads(self.rfile.read(int(self.headers["content-length"])))
        self.answer(json.dumps(attack(told)).encode())


http.server.ThreadingHTTPServer(("", int(os.environ["PORT"])), Handler).serve_forever()
