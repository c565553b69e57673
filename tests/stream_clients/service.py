"""A Service before the members for one client: passes each connection to the next member, and cuts it when told to."""
import itertools, re, socket, threading


def end(connection):
    try:
        connection.shutdown(socket.SHUT_RDWR)
    except OSError:
        pass


class Service:
    def __init__(self, member_ports):
        self.members = itertools.cycle(member_ports)
        self.count = len(member_ports)
        self.lock = threading.Lock()
        self.open = set()
        self.closed = True
        # Cuts an answer after bytes of this pattern, and admits nobody then.
        self.cut_after = None
        # The id of the first event ever, and how many answers asked to come back later.
        self.opening = None
        self.turned_away = 0
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self.listener.getsockname()[1]}/draws/stream"
        threading.Thread(target=self.accept, daemon=True).start()

    def admit(self, cut_after=None):
        with self.lock:
            self.closed, self.cut_after = False, cut_after

    def cut(self):
        """Ends every connection; those that follow get nothing."""
        with self.lock:
            self.closed = True
            for client in self.open:
                end(client)

    def accept(self):
        while True:
            client, _ = self.listener.accept()
            threading.Thread(target=self.serve, args=[client], daemon=True).start()

    def serve(self, client):
        with client:
            with self.lock:
                if self.closed:
                    return
                self.open.add(client)
            try:
                self.relay(client)
            except OSError:
                pass
            finally:
                with self.lock:
                    self.open.discard(client)
                end(client)

    def relay(self, client):
        with self.connect() as member:
            threading.Thread(target=self.ask, args=[client, member], daemon=True).start()
            self.answer(client, member)

    def connect(self):
        for _ in range(self.count):
            with self.lock:
                port = next(self.members)
            try:
                return socket.create_connection(("127.0.0.1", port), timeout=None)
            except ConnectionRefusedError:
                pass
        raise ConnectionRefusedError

    @staticmethod
    def ask(client, member):
        try:
            while piece := client.recv(4096):
                member.sendall(piece)
        except OSError:
            pass
        end(member)

    def answer(self, client, member):
        seen, sent = b"", 0
        while piece := member.recv(65536):
            seen += piece
            with self.lock:
                found = self.cut_after and re.search(self.cut_after, seen[sent:], re.DOTALL)
                whole, end = not found, sent + found.end() if found else len(seen)
                if found:
                    self.closed = True
                # What a member says that has no stream free.
                self.turned_away += len(re.findall(rb"retry: \d+\n(?:id: \d+\n)?: ", piece))
                if self.opening is None and (opening := re.search(rb"\nid: (\d+)\n", seen)):
                    self.opening = int(opening[1])
            client.sendall(seen[sent:end])
            sent = end
            if not whole:
                return
