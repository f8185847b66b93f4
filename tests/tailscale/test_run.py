"""`tailchain run`: Tailscale around one command."""

import os
import re
import signal
import socket
import sys
import time
from contextlib import suppress

import pytest

from support import paths
from support.need import need
from support.processes import APP, children, is_alive, wait_for
from support.run import finish, run_under, start

# Exchanges a line with a server that only the proxy knows by this name.
CLIENT = """
import socket, sys
with socket.create_connection(("db.tail.test", int(sys.argv[1])), timeout=60) as client:
    client.sendall(b"through the tailnet\\n")
    print(client.makefile().readline(), end="", flush=True)
"""


@pytest.fixture
def environment(tailscale, conf):
    """environment(…): the variables for a run, with a config for the port."""
    config = conf([f"socks5 127.0.0.1 {tailscale.port}"], "proxy_dns")
    return lambda **variables: tailscale.environment(PROXYCHAINS_CONF_FILE=config, **variables)


def run(environment, *command, options=()):
    return run_under(paths.COMMAND, ["run", *options, "--", *command], via="bare", env=environment)


def start_app(tailscale, environment, code="0", seconds=0.5):
    """An app that records its signals, once it runs."""
    words = ["run", "--", sys.executable, "-c", APP, tailscale.record, code, seconds]
    process = start(paths.COMMAND, words, via="bare", env=environment)
    wait_for(lambda: "app-started" in tailscale.events(), process)
    return process


def test_the_command_goes_through_the_proxy_of_tailscaled(tailscale, environment, echo):
    result = run(environment(), sys.executable, "-c", CLIENT, str(echo.port)).ok()
    assert result.out == "through the tailnet\n"
    assert any("OK" in chain for chain in result.chains)
    assert tailscale.events() == ["started", "up", "SIGINT"]


def test_without_a_config_the_shipped_one_is_used_with_the_port(tailscale, echo, tmp_path):
    """In a mount namespace whose /etc has no config of proxychains."""
    script = f"""
        set -e
        cp -a /etc {tmp_path}/etc 2>/dev/null || true
        rm -f {tmp_path}/etc/proxychains*.conf
        mount --bind {tmp_path}/etc /etc
        exec "$@"
    """
    command = [paths.COMMAND, "run", "--", sys.executable, "-c", CLIENT, echo.port]
    words = ["--map-root-user", "--mount", "sh", "-c", script, "sh", *command]
    environment = tailscale.environment(HOME=tmp_path)
    result = run_under(need("unshare"), words, via="bare", env=environment, cwd=tmp_path)
    if "unshare" in result.err:
        pytest.skip(f"no namespaces can be made here: {result.err}")
    assert result.ok().out == "through the tailnet\n"


def test_a_config_for_another_port_is_warned_about(tailscale, environment, conf):
    config = conf(["socks5 127.0.0.1 9"])
    result = run(environment(), "true", options=["-f", config]).ok()
    assert f"warning: {config}: none of its proxies is on 127.0.0.2:{tailscale.port}" in result.err


def test_a_config_that_cannot_be_used_is_an_error_before_anything_is_started(tailscale, environment, tmp_path):
    missing = tmp_path / "missing.conf"
    result = run(environment(), "true", options=["-f", missing])
    assert result.code == 1 and str(missing) in result.err
    assert tailscale.events() == []


def test_the_exit_status_is_the_commands_own(tailscale, environment):
    assert run(environment(), "sh", "-c", "exit 42").code == 42
    assert tailscale.events("SIGINT") == ["SIGINT"]


def test_death_by_a_signal_is_128_and_its_number(environment):
    assert run(environment(), "sh", "-c", "kill -9 $$").code == 137


def test_the_settings_become_options_of_tailscale(tailscale, environment):
    variables = {
        "TAILSCALE_ACCEPT_DNS": "false",
        "TAILSCALE_ACCEPT_ROUTES": "no",
        "TAILSCALE_ADVERTISE_EXIT_NODES": "1",
        "TAILSCALE_ADVERTISE_TAGS": "tag:app",
        "TAILSCALE_HOSTNAME": "web-of-mine",
        "TAILSCALE_SHIELDS_UP": "on",
        "TAILSCALE_LOGIN_SERVER": "http://127.0.0.1:9",
        "TAILSCALED_VERBOSE": "1",
        "TAILSCALE_ADVERTISE_ROUTES": "10.0.0.0/24",
        "TAILSCALE_SSH": "true",
        "TAILSCALE_EXTRA_ARGS": "--stateful-filtering  --operator=me",
        "TAILSCALED_EXTRA_ARGS": "--port=0 --debug=127.0.0.1:0",
        "TAILSCALE_OUTBOUND_HTTP_PROXY_LISTEN": "127.0.0.2:8080",
    }
    result = run(environment(**variables), "true").ok()
    [up], [daemon] = tailscale.details("up"), tailscale.details("started")
    assert {
        "--accept-dns=false",
        "--accept-routes=false",
        "--advertise-exit-node=true",
        "--advertise-tags=tag:app",
        "--hostname=web-of-mine",
        "--shields-up=true",
        "--login-server=http://127.0.0.1:9",
        "--advertise-routes=10.0.0.0/24",
        "--ssh=true",
        "--stateful-filtering",
        "--operator=me",
    } <= set(up["arguments"])
    assert {
        "--verbose=1",
        "--state=mem:",
        "--tun=userspace-networking",
        "--port=0",
        "--debug=127.0.0.1:0",
        "--outbound-http-proxy-listen=127.0.0.2:8080",
    } <= set(daemon["arguments"])
    assert "Tailscale is up" in result.err


def test_the_settings_of_tailscales_container_mean_the_same_here(tailscale, environment, tmp_path):
    variables = {
        "TAILSCALE_AUTH_KEY": None,
        "TAILSCALE_SOCKS5_PORT": None,
        "TS_AUTH_KEY": "tskey-auth-s3cret",
        "TS_HOSTNAME": "contained",
        "TS_ACCEPT_DNS": "false",
        "TS_ROUTES": "10.0.0.0/24",
        "TS_EXTRA_ARGS": "--ssh --accept-routes=false",
        "TS_TAILSCALED_EXTRA_ARGS": "--port=0",
        "TS_STATE_DIR": tmp_path / "state",
        "TS_SOCKET": tmp_path / "own" / "socket",
        "TS_SOCKS5_SERVER": f"127.0.0.3:{tailscale.port}",
        "TS_OUTBOUND_HTTP_PROXY_LISTEN": "127.0.0.3:8080",
        "TS_USERSPACE": "true",
    }
    result = run(environment(**variables), "true").ok()
    [up], [daemon] = tailscale.details("up"), tailscale.details("started")
    assert {"--hostname=contained", "--accept-dns=false", "--advertise-routes=10.0.0.0/24"} <= set(up["arguments"])
    # After ours, so that they take precedence.
    assert up["arguments"][-2:] == ["--ssh", "--accept-routes=false"]
    assert {
        f"--statedir={tmp_path}/state",
        f"--socket={tmp_path}/own/socket",
        f"--socks5-server=127.0.0.3:{tailscale.port}",
        "--outbound-http-proxy-listen=127.0.0.3:8080",
        "--port=0",
    } <= set(daemon["arguments"])
    assert "has no effect" not in result.err


def test_unsupported_settings_are_named_at_the_start(environment):
    result = run(environment(TS_DEST_IP="10.0.0.1", TS_KUBE_SECRET="x", TS_USERSPACE="false"), "true").ok()
    named = [line.split()[2] for line in result.err.splitlines() if "has no effect" in line]
    assert named == ["TS_KUBE_SECRET", "TS_DEST_IP", "TS_USERSPACE"]


def test_a_workload_identity_needs_no_key(tailscale, environment):
    variables = {"TAILSCALE_AUTH_KEY": None, "TS_CLIENT_ID": "id", "TS_ID_TOKEN": "token-s3cret"}
    result = run(environment(**variables), "printenv", "TS_ID_TOKEN", "TS_CLIENT_ID").ok()
    assert result.out == "hidden-by-tailchain\nid\n"
    [up] = tailscale.details("up")
    assert "--client-id=id" in up["arguments"] and up["key"] == "token-s3cret"
    assert "s3cret" not in str(up["arguments"])


def test_an_identity_that_is_half_is_named(tailscale, environment):
    result = run(environment(TAILSCALE_AUTH_KEY=None, TS_ID_TOKEN="token-s3cret"), "echo", "started")
    assert result.code == 1 and "TS_ID_TOKEN: `***`: expected TAILSCALE_CLIENT_ID beside it" in result.err


def test_the_exit_node_is_set_once_its_name_can_be_known(tailscale, environment):
    tailscale.mood(exit_node_after=2)
    run(environment(TAILSCALE_EXIT_NODE="fra-1"), "true").ok()
    assert tailscale.events("up", "set", "SIGINT") == ["up", "set", "set", "SIGINT"]
    assert "--exit-node=fra-1" in tailscale.details("set")[-1]["arguments"]


def test_without_the_exit_node_that_was_asked_for_nothing_is_started(tailscale, environment):
    """The app would use another source address."""
    tailscale.mood(exit_node_after=1000)
    result = run(environment(TAILSCALE_EXIT_NODE="fra-1", TAILSCALE_TIMEOUT="2s"), "echo", "started")
    assert result.code == 1 and "started" not in result.out
    assert "cannot use the exit node fra-1 (TAILSCALE_EXIT_NODE): invalid value" in result.err


def test_a_config_for_serve_is_given_to_tailscaled(tailscale, environment, tmp_path):
    config = tmp_path / "serve.json"
    config.write_text('{"Web": {"${TS_CERT_DOMAIN}:443": {}}}')
    run(environment(TS_SERVE_CONFIG=config), "true").ok()
    assert tailscale.details("serve-config") == [{"body": '{"Web": {"app.tail.test:443": {}}}'}]
    result = run(environment(TS_SERVE_CONFIG=tmp_path / "missing"), "echo", "started")
    assert result.code == 1 and f"TAILSCALE_SERVE_CONFIG: cannot serve {tmp_path}/missing" in result.err


def test_the_help_names_every_setting():
    said = run_under(paths.COMMAND, ["run", "--help"], via="bare").ok().out
    assert {"TAILSCALE_EXIT_NODE", "TAILSCALE_STATE_DIR, TS_STATE_DIR"} <= {line.strip() for line in said.splitlines()}


def test_the_defaults_of_the_settings(tailscale, environment):
    run(environment(TAILSCALE_TIMEOUT=None), "true").ok()
    [up] = tailscale.details("up")
    options = dict(word.split("=", 1) for word in up["arguments"] if "=" in word)
    assert options["--accept-dns"] == options["--accept-routes"] == "true"
    assert options["--advertise-exit-node"] == options["--shields-up"] == "false"
    assert "--hostname" not in options and "--advertise-tags" not in options
    assert 40_000 < int(options["--timeout"].removesuffix("ms")) <= 50_000


def test_a_timeout_of_zero_waits_for_ever_as_documented(tailscale, environment):
    run(environment(TAILSCALE_TIMEOUT="0s"), "true").ok()
    assert "--timeout=0ms" in tailscale.details("up")[0]["arguments"]


def test_the_hostname_is_made_of_the_dynos_metadata(tailscale, environment):
    metadata = {"HEROKU_SLUG_COMMIT": "2c3a0b24069af49b", "DYNO": "web.1", "HEROKU_APP_NAME": "shop"}
    run(environment(**metadata), "true").ok()
    assert "--hostname=2c3a0b24-web-1-shop" in tailscale.details("up")[0]["arguments"]


@pytest.mark.parametrize(
    "name, value",
    [("TAILSCALE_SHIELDS_UP", "maybe"), ("TAILSCALE_TIMEOUT", "60"), ("TAILSCALE_SOCKS5_PORT", "0")],
)
def test_a_setting_that_is_not_understood_is_named(tailscale, environment, name, value):
    result = run(environment(**{name: value}), "echo", "started")
    assert result.code == 1 and f"{name}: `{value}`: expected" in result.err
    assert "started" not in result.out and tailscale.events() == []


def test_the_key_is_in_no_file_no_argument_no_environment_and_no_message(tailscale, environment):
    tailscale.mood("refuse")
    result = run(environment(), "true")
    [up], [daemon] = tailscale.details("up"), tailscale.details("started")
    assert up["key"] == "tskey-auth-s3cret" and up["key_path"].startswith("/proc/self/fd/")
    assert "s3cret" not in str(up["arguments"]) + str(daemon["arguments"]) + result.err + result.out
    assert not {"TAILSCALE_AUTH_KEY", "TS_AUTHKEY"} & {*up["environment"], *daemon["environment"]}


def test_a_run_that_is_killed_during_login_leaves_no_key(tailscale, environment):
    tailscale.mood("hang")
    process = start(paths.COMMAND, ["run", "--", "true"], via="bare", env=environment())
    wait_for(lambda: "up" in tailscale.events(), process)
    os.killpg(process.pid, signal.SIGKILL)
    finish(process)
    left = [path for path in tailscale.directory.rglob("*") if path.is_file() and path != tailscale.record]
    assert left and [path for path in left if b"s3cret" in path.read_bytes()] == []


SECRETS = ["TAILSCALE_AUTH_KEY", "TS_AUTHKEY", "TS_AUTH_KEY", "TAILSCALE_CLIENT_SECRET", "TS_CLIENT_SECRET"]


@pytest.mark.parametrize("name", SECRETS)
def test_the_command_sees_that_there_is_a_key_and_not_the_key(environment, name):
    """The Django settings in docs/heroku.md check whether there is one."""
    variables = {"TAILSCALE_AUTH_KEY": None, name: "tskey-client-s3cret", "TAILSCALE_ADVERTISE_TAGS": "tag:web"}
    assert run(environment(**variables), "printenv", name).ok().out == "hidden-by-tailchain\n"
    unset = [other for other in SECRETS if other != name]
    assert run(environment(**variables), "printenv", *unset).code == 1
    kept = run(environment(**variables, TAILSCALE_HIDE_KEY="false"), "printenv", name).ok()
    assert kept.out == "tskey-client-s3cret\n"


def test_a_key_can_be_in_a_file(tailscale, environment, tmp_path):
    """As for a secret that an orchestrator mounts. Its path is no secret."""
    (tmp_path / "key").write_text("tskey-of-the-file\n")
    named = f"file:{tmp_path}/key"
    result = run(environment(TAILSCALE_AUTH_KEY=None, TS_AUTHKEY=named), "printenv", "TS_AUTHKEY").ok()
    assert tailscale.details("up")[0]["key"] == "tskey-of-the-file"
    assert result.out == f"{named}\n"
    (tmp_path / "key").unlink()
    assert (
        f"TS_AUTHKEY: cannot read {tmp_path}/key"
        in run(environment(TS_AUTHKEY=named, TAILSCALE_AUTH_KEY=None), "true").err
    )


def test_a_placeholder_is_no_key(tailscale, environment):
    """As for a `tailchain run` within another."""
    result = run(environment(TAILSCALE_AUTH_KEY="hidden-by-tailchain"), "echo", "started")
    assert result.code == 1 and "TAILSCALE_AUTH_KEY is a placeholder" in result.err
    assert "started" not in result.out and tailscale.events("up") == []


def test_nothing_is_left_in_the_temporary_directory(tailscale, environment):
    run(environment(), "true").ok()
    assert list(tailscale.directory.glob("tailchain-*")) == []


@pytest.mark.parametrize(
    "up, reason",
    [
        ("refuse", "cannot log in: backend error: invalid key"),
        ("browser", "does not accept the auth key"),
    ],
)
def test_a_key_that_is_refused_ends_it_at_once(tailscale, environment, up, reason):
    """Without a time limit it would hang."""
    tailscale.mood(up)
    result = run(environment(TAILSCALE_TIMEOUT="0s"), "echo", "started")
    assert result.code == 1 and reason in result.err
    assert "started" not in result.out
    assert tailscale.events("started", "up", "SIGINT") == ["started", "up", "SIGINT"]


@pytest.mark.parametrize("said", ["invalid key: API key does not exist", "invalid key: API key kAbC not valid"])
def test_a_key_that_has_expired_ends_it_at_once(tailscale, environment, said):
    """The messages of Tailscale's control server about a key that has expired, was revoked or used up."""
    tailscale.mood("refuse", said=said)
    result = run(environment(TAILSCALE_TIMEOUT="0s"), "echo", "started")
    assert result.code == 1 and f"cannot log in: backend error: {said}" in result.err
    assert "started" not in result.out


def test_a_refusal_that_tailscale_up_keeps_to_itself_ends_it_too(tailscale, environment):
    """If the control server refuses with an HTTP status, tailscaled retries forever."""
    error = "register request: http 401: AuthKey expired"
    tailscale.mood("hang", health=[f"You are logged out. The last login error was: {error}"])
    result = run(environment(TAILSCALE_TIMEOUT="0s"), "echo", "started")
    assert result.code == 1 and "cannot log in: http 401: AuthKey expired" in result.err
    assert "started" not in result.out
    assert tailscale.events("SIGINT") == ["SIGINT"]


def test_a_control_server_that_lets_it_wait_is_asked_again(tailscale, environment):
    tailscale.mood("busy")
    assert run(environment(), "echo", "started").ok().out == "started\n"
    assert tailscale.events("up") == ["up", "up"]


@pytest.mark.parametrize(
    "up, reason", [("hang", "its state is NeedsLogin"), ("approve", "waits for approval in the admin console")]
)
def test_a_login_that_does_not_come_is_bounded_and_explained(tailscale, environment, up, reason):
    tailscale.mood(up)
    result = run(environment(TAILSCALE_TIMEOUT="2s"), "echo", "started")
    assert result.code == 1 and "started" not in result.out
    assert "not logged in after 2 s (TAILSCALE_TIMEOUT)" in result.err and reason in result.err


def test_a_proxy_that_does_not_answer_is_not_ready(tailscale, environment):
    tailscale.mood(deaf=True)
    result = run(environment(TAILSCALE_TIMEOUT="10s"), "echo", "started")
    assert result.code == 1 and "started" not in result.out
    assert f"its proxy on 127.0.0.2:{tailscale.port}: nothing answers there" in result.err


def test_a_tailscaled_that_ends_is_an_error_with_its_last_words(tailscale, environment):
    tailscale.mood(crash=True)
    result = run(environment(), "echo", "started")
    assert result.code == 1 and "started" not in result.out
    assert "tailscaled ended" in result.err and "the machine is on fire" in result.err


def test_a_port_that_is_taken_is_named_with_who_has_it(tailscale, environment):
    with socket.create_server(("127.0.0.2", tailscale.port)):
        result = run(environment(), "echo", "started")
    assert result.code == 1
    assert re.search(
        rf"port {tailscale.port} of 127\.0\.0\.2 is taken by \S+, process {os.getpid()} of user", result.err
    )
    assert tailscale.events() == []


def test_the_port_of_a_dead_tailscaled_is_not_taken_by_others(tailscale, environment):
    process = start_app(tailscale, environment())
    os.kill(tailscale.pids()[0], signal.SIGKILL)
    wait_for(lambda: not is_alive(tailscale.pids()[0]), process)
    refused = 0
    # A second later, when the next one is about to bind it, it is free for a moment.
    while tailscale.events().count("started") == 1:
        try:
            socket.create_server(("127.0.0.2", tailscale.port)).close()
            break
        except OSError:
            refused += 1
    assert refused > 100
    wait_for(lambda: tailscale.events().count("up") == 2, process)
    process.send_signal(signal.SIGTERM)
    assert finish(process).code == 0


def test_another_server_on_the_port_of_tailscaled_is_reported(tailscale, environment):
    """The fake tailscaled does not listen; another process does, as soon as the port is free."""
    tailscale.mood(deaf=True)
    process = start(
        paths.COMMAND, ["run", "--", "echo", "started"], via="bare", env=environment(TAILSCALE_TIMEOUT="10s")
    )
    wait_for(lambda: "started" in tailscale.events(), process)
    while True:
        with suppress(OSError):
            other = socket.create_server(("127.0.0.2", tailscale.port))
            break
    with other:
        result = finish(process)
    assert result.code == 1 and "started" not in result.out
    assert (
        f"its proxy on 127.0.0.2:{tailscale.port}: the process that listens there is not tailscaled but " in result.err
    )
    assert f"process {os.getpid()} of user {os.getuid()}" in result.err


@pytest.mark.parametrize(
    "host, warned", [(None, False), ("127.0.0.3", False), ("127.0.0.1", True), ("localhost", True)]
)
def test_a_proxy_that_peers_can_use_is_warned_about(tailscale, environment, echo, host, warned):
    """tailscaled forwards peers' connections to 127.0.0.1. A config with that address is valid wherever it listens."""
    result = run(environment(TAILSCALE_SOCKS5_HOST=host), sys.executable, "-c", CLIENT, str(echo.port)).ok()
    assert result.out == "through the tailnet\n"
    assert ("peers in the tailnet can use the SOCKS5 proxy" in result.err) == warned
    listens = {None: "127.0.0.2", "localhost": "127.0.0.1"}.get(host, host)
    assert f"--socks5-server={listens}:{tailscale.port}" in tailscale.details("started")[0]["arguments"]


def test_tailscale_that_is_not_installed_is_said_with_the_directories(environment, tmp_path):
    empty = tmp_path / "empty"
    empty.mkdir()
    result = run(environment(TAILSCALE_DIR=empty), "echo", "started")
    assert result.code == 1 and str(empty) in result.err and "TAILSCALE_DIR" in result.err


@pytest.mark.parametrize("name", ["TAILSCALE_AUTH_KEY", "TS_AUTHKEY"])
def test_both_names_of_the_key_are_known(tailscale, environment, name):
    run(environment(**{"TAILSCALE_AUTH_KEY": None, name: "tskey-other"}), "true").ok()
    assert tailscale.details("up")[0]["key"] == "tskey-other"


def test_without_a_key_the_command_runs_without_a_proxy(tailscale, environment):
    result = run(environment(TAILSCALE_AUTH_KEY=None), "sh", "-c", "echo $LD_PRELOAD; exit 3")
    assert result.code == 3 and result.out == "\n"
    assert result.err == "[proxychains] TAILSCALE_AUTH_KEY is not set: the program runs without a proxy\n"
    assert tailscale.events() == []


def test_without_a_key_a_setting_that_is_not_understood_is_named_too(tailscale, environment):
    result = run(environment(TAILSCALE_AUTH_KEY=None, TAILSCALE_TIMEOUT="abc"), "echo", "started")
    assert (result.code, result.out) == (1, "")
    assert result.err.startswith("tailchain: TAILSCALE_TIMEOUT: `abc`: expected a duration")


def test_a_bypass_needs_no_tailscale_either(tailscale, environment):
    result = run(environment(TAILCHAIN_BYPASS="a review app"), "echo", "started").ok()
    assert result.err == "[proxychains] a review app: the program runs without a proxy\n"
    assert tailscale.events() == []


def test_sigterm_ends_the_app_first_and_then_tailscaled(tailscale, environment):
    process = start_app(tailscale, environment(), code="7")
    process.send_signal(signal.SIGTERM)
    assert finish(process).code == 7
    assert tailscale.events("app-SIGTERM", "app-ends", "SIGINT") == ["app-SIGTERM", "app-ends", "SIGINT"]


@pytest.mark.parametrize("ours_first", [True, False])
def test_sigterm_to_all_processes_reaches_the_app_once(tailscale, environment, ours_first):
    """As Heroku and systemd do; a second signal would make some programs hurry. tailscaled is left to the app."""
    # Longer than a SIGTERM that was sent only to us is delayed.
    process = start_app(tailscale, environment(), code="7", seconds=2)
    others = [*tailscale.pids(), *children(process.pid)]
    for pid in [process.pid, *others] if ours_first else [*others, process.pid]:
        os.kill(pid, signal.SIGTERM)
    assert finish(process).code == 7
    assert tailscale.events("app-SIGTERM", "SIGTERM", "app-ends", "SIGINT") == ["app-SIGTERM", "app-ends", "SIGINT"]


def test_sigterm_to_the_runner_alone_reaches_the_app_from_any_sender(tailscale, environment):
    """Also on a dyno, where a shell or a supervisor of the app may send signals."""
    process = start_app(tailscale, environment(DYNO="web.1"), seconds=0)
    process.send_signal(signal.SIGTERM)
    assert finish(process).code == 0
    assert tailscale.events("app-SIGTERM", "app-ends") == ["app-SIGTERM", "app-ends"]


def test_a_second_sigterm_is_passed_on_too(tailscale, environment):
    """The second signal tells the app to hurry."""
    process = start_app(tailscale, environment(), code="never")
    process.send_signal(signal.SIGTERM)
    wait_for(lambda: tailscale.events("app-SIGTERM") == ["app-SIGTERM"], process)
    process.send_signal(signal.SIGTERM)
    wait_for(lambda: tailscale.events("app-SIGTERM") == ["app-SIGTERM"] * 2, process)
    os.killpg(process.pid, signal.SIGKILL)
    finish(process)


@pytest.mark.parametrize("name", ["SIGHUP", "SIGUSR1", "SIGUSR2", "SIGWINCH", "SIGINT"])
def test_signals_are_passed_on(tailscale, environment, name):
    process = start_app(tailscale, environment())
    process.send_signal(signal.Signals[name])
    wait_for(lambda: f"app-{name}" in tailscale.events(), process)
    process.send_signal(signal.SIGTERM)
    assert finish(process).code == 0


def test_an_app_that_does_not_end_is_killed_when_the_drain_is_over(tailscale, environment):
    process = start_app(tailscale, environment(TAILSCALE_DRAIN_TIMEOUT="1s"), code="never")
    process.send_signal(signal.SIGTERM)
    result = finish(process)
    assert result.code == 137 and "did not exit within 1 s (TAILSCALE_DRAIN_TIMEOUT)" in result.err
    assert tailscale.events("SIGINT") == ["SIGINT"]


def test_a_tailscaled_that_does_not_end_is_killed(tailscale, environment):
    tailscale.mood(stubborn=True)
    assert run(environment(), "sh", "-c", "exit 5").code == 5
    assert not is_alive(tailscale.pids()[0])


def test_sigterm_while_it_starts_ends_it(tailscale, environment):
    tailscale.mood("hang")
    process = start(paths.COMMAND, ["run", "--", "echo", "started"], via="bare", env=environment())
    wait_for(lambda: "up" in tailscale.events(), process)
    process.send_signal(signal.SIGTERM)
    result = finish(process)
    assert result.code == 143 and "started" not in result.out
    assert tailscale.events("SIGINT") == ["SIGINT"]


def test_a_tailscaled_that_is_killed_is_started_again_and_logs_in(tailscale, environment, echo):
    process = start_app(tailscale, environment())
    os.kill(tailscale.pids()[0], signal.SIGKILL)
    wait_for(lambda: tailscale.events().count("up") == 2, process)
    process.send_signal(signal.SIGTERM)
    result = finish(process)
    assert result.code == 0
    assert "tailscaled ended (signal: 9 (SIGKILL)) while the program runs; started again" in result.err
    assert tailscale.events("started", "up", "SIGINT") == ["started", "up", "started", "up", "SIGINT"]


# -- a node that leaves the tailnet while the app runs


@pytest.mark.parametrize(
    "own, reason",
    [
        ({}, "this machine was logged out of the tailnet"),
        ({"KeyExpiry": "2026-11-25T09:43:51Z"}, "the key of this machine has expired or was revoked"),
    ],
)
def test_a_node_that_needs_a_login_logs_in_again(tailscale, environment, own, reason):
    """On the running tailscaled, with the key, and without the one that has ended."""
    process = start_app(tailscale, environment())
    tailscale.mood(own=own)
    tailscale.state("NeedsLogin")
    wait_for(lambda: tailscale.events().count("up") == 2, process)
    # The next check is made after it is back.
    asked = len(tailscale.details("asked"))
    wait_for(lambda: len(tailscale.details("asked")) > asked, process)
    process.send_signal(signal.SIGTERM)
    result = finish(process)
    first, second = tailscale.details("up")
    assert ("--force-reauth" in first["arguments"], "--force-reauth" in second["arguments"]) == (False, True)
    assert result.err.count(f"Tailscale: {reason}; logging in again\n") == 1
    assert result.err.count("Tailscale: logged in again after") == 1
    assert tailscale.events("started") == ["started"]


def test_a_login_that_fails_while_the_app_runs_is_tried_again(tailscale, environment):
    process = start_app(tailscale, environment())
    tailscale.mood("refuse", said="invalid key: API key does not exist")
    tailscale.state("NeedsLogin")
    wait_for(lambda: tailscale.events().count("up") == 3, process)
    tailscale.mood()
    wait_for(lambda: tailscale.state() == "Running", process)
    process.send_signal(signal.SIGTERM)
    result = finish(process)
    assert "cannot log in: backend error: invalid key: API key does not exist; next try in 1 s" in result.err


def test_a_machine_that_the_control_server_has_forgotten_begins_anew(tailscale, environment):
    """As an ephemeral machine that was suspended for an hour. tailscaled only logs it, and retries forever."""
    process = start_app(tailscale, environment())
    tailscale.mood(log="2026/11/25 09:47:46 Received error: PollNetMap: initial fetch failed 404: node not found")
    wait_for(lambda: tailscale.events().count("up") == 2, process)
    tailscale.mood()
    wait_for(lambda: tailscale.state() == "Running", process)
    process.send_signal(signal.SIGTERM)
    result = finish(process)
    assert result.err.count("the control server does not know this machine any more (404: node not found)") == 1
    assert tailscale.events("started", "up", "SIGINT") == ["started", "up", "SIGINT", "started", "up", "SIGINT"]


def test_a_node_that_somebody_stopped_is_left_so_and_said_once(tailscale, environment):
    process = start_app(tailscale, environment())
    asked = len(tailscale.details("asked"))
    tailscale.state("Stopped")
    wait_for(lambda: len(tailscale.details("asked")) >= asked + 3, process)
    process.send_signal(signal.SIGTERM)
    result = finish(process)
    assert result.err.count("Tailscale was stopped (tailscale down)") == 1
    assert tailscale.events("up") == ["up"]


# -- where the state is


def test_the_state_is_in_memory_unless_there_is_a_place_for_it(tailscale, environment, tmp_path):
    run(environment(), "true").ok()
    run(environment(TAILSCALE_FILES_DIR=tmp_path / "files"), "true").ok()
    run(environment(TAILSCALE_STATE_DIR=tmp_path / "state", TAILSCALE_FILES_DIR=tmp_path / "files"), "true").ok()
    memory, files, state = [
        {word for word in started["arguments"] if word.startswith("--state")}
        for started in tailscale.details("started")
    ]
    assert "--state=mem:" in memory
    assert files == {"--state=mem:", f"--statedir={tmp_path}/files"}
    assert state == {f"--statedir={tmp_path}/state"}
    assert (tmp_path / "state").stat().st_mode & 0o077 == 0


# -- an OAuth secret


def test_an_api_that_cannot_be_reached_is_waited_for(tailscale, environment):
    tailscale.mood("api down", times=2)
    assert run(environment(), "echo", "started").ok().out == "started\n"
    assert tailscale.events("up") == ["up"] * 3


def test_an_api_that_stays_down_is_the_reason(tailscale, environment):
    tailscale.mood("api down", times=100)
    result = run(environment(TAILSCALE_TIMEOUT="3s"), "echo", "started")
    assert result.code == 1 and "started" not in result.out
    assert "not logged in after 3 s (TAILSCALE_TIMEOUT); Post " in result.err
    assert "connection refused" in result.err


def test_tags_that_an_oauth_secret_needs_are_named(tailscale, environment):
    tailscale.mood("refuse", bare="oauth authkeys require --advertise-tags")
    result = run(environment(TAILSCALE_TIMEOUT="0s"), "echo", "started")
    assert result.code == 1
    assert "oauth authkeys require --advertise-tags: set TAILSCALE_ADVERTISE_TAGS" in result.err


def test_a_control_server_that_cannot_be_reached_is_named_with_the_reason(tailscale, environment):
    tailscale.mood("hang")
    server = "http://no..name"
    result = run(environment(TAILSCALE_TIMEOUT="2s", TAILSCALE_LOGIN_SERVER=server), "echo", "started")
    assert result.code == 1
    assert f"the control server {server} (TAILSCALE_LOGIN_SERVER) cannot be reached: " in result.err


def test_tailscaled_does_not_outlive_a_killed_run(tailscale, environment):
    process = start_app(tailscale, environment())
    process.kill()
    # The kernel sends it when the thread that started tailscaled ends, and again with the last one if that ends later.
    deadline = time.monotonic() + 60
    while tailscale.events("SIGINT") == [] and is_alive(tailscale.pids()[0]) and time.monotonic() < deadline:
        time.sleep(0.02)
    told = tailscale.events("SIGINT")
    # The app continues, as with any launcher that is killed.
    os.killpg(process.pid, signal.SIGKILL)
    finish(process)
    assert told in [["SIGINT"], ["SIGINT"] * 2]
