"""Holds the Kubernetes manifests against the API's schemas, against each other, and against the program.

    manifests.py [LLM_ROUTER]

Without the binary, what needs it is left out. With it, its configs are validated, its flags are looked up, and
the beginning of a cluster is rehearsed on loopback with the very command lines of the manifests.
"""

import pathlib
import re
import sys

import kubernetes_validate
import yaml

import rehearsal

ROOT = pathlib.Path(__file__).resolve().parents[2]
FOLDER = ROOT / "testnet" / "kubernetes"
# the first version that knows `preStop: { sleep }` without a feature gate, and the newest there are schemas of
VERSIONS = ("1.30", "1.37")
# made by hand, as the comments of the manifests that mention them say
BY_HAND = {("Secret", "app-upstreams"), ("Secret", "llm-router-backup")}
# beside the grace for running answers: leadership, cache and store, spans; src/app/doors.rs and serve.rs have them
ENDING_SECONDS = 3 + 5 + 10 + 5
# words the schemas take as any text
WORDS = {
    "accessModes": {"ReadWriteOnce", "ReadWriteOncePod"},
    "concurrencyPolicy": {"Allow", "Forbid", "Replace"},
    "fsGroupChangePolicy": {"Always", "OnRootMismatch"},
    "podManagementPolicy": {"OrderedReady", "Parallel"},
    "policyTypes": {"Ingress", "Egress"},
    "protocol": {"TCP", "UDP", "SCTP"},
    "restartPolicy": {"Always", "OnFailure", "Never"},
    "whenDeleted": {"Delete", "Retain"},
    "whenScaled": {"Delete", "Retain"},
    "whenUnsatisfiable": {"DoNotSchedule", "ScheduleAnyway"},
}
# what the exporter puts behind an instrument's name
SUFFIXES = r"(_seconds|_milliseconds|_bytes|_ratio)?(_total|_bucket|_sum|_count)?"

problems = []


def check(holds, words):
    if not holds:
        problems.append(words)


def load():
    """Every object, with the file it is from; the rules for Prometheus are no objects."""
    objects = []
    for path in sorted(FOLDER.rglob("*.yaml")):
        for document in yaml.safe_load_all(path.read_text()):
            if "groups" not in document:
                objects.append((path.relative_to(FOLDER), document))
    return objects


def schemas(objects):
    for path, each in objects:
        for version in VERSIONS:
            try:
                kubernetes_validate.validate(each, version, strict=True)
            except kubernetes_validate.ValidationError as error:
                where = ".".join(str(part) for part in error.path)
                check(False, f"{path}: {each['kind']}: {where}: {error.message} (Kubernetes {version})")


def words(path, value):
    """The words that the schemas do not hold are words of the API."""
    if isinstance(value, list):
        for each in value:
            words(path, each)
    elif isinstance(value, dict):
        for key, each in value.items():
            said = each if isinstance(each, list) else [each]
            for word in said if key in WORDS else []:
                check(word in WORDS[key], f"{path}: {key} cannot be {word}")
            words(path, each)


class Objects:
    """The objects, by kind and name."""

    def __init__(self, objects):
        self.all = {(each["kind"], each["metadata"]["name"]): (path, each) for path, each in objects}
        check(len(self.all) == len(objects), "two objects have one name")

    def __getitem__(self, key):
        return self.all[key][1]

    def pods(self):
        """Every pod there will be: file, labels, spec."""
        for path, each in self.all.values():
            kind, spec = each["kind"], each.get("spec", {})
            if kind == "Pod":
                yield path, each["metadata"]["labels"], spec
            elif kind in ("StatefulSet", "Deployment"):
                yield path, spec["template"]["metadata"]["labels"], spec["template"]["spec"]
            elif kind == "CronJob":
                template = spec["jobTemplate"]["spec"]["template"]
                yield path, template["metadata"]["labels"], template["spec"]


def containers(pod):
    return pod.get("initContainers", []) + pod["containers"]


def selects(selector, labels):
    return selector.items() <= labels.items()


def pods_are_locked(objects):
    for path, _, pod in objects.pods():
        whole = pod.get("securityContext", {})
        check(whole.get("runAsNonRoot") is True and whole.get("runAsUser", 0) > 0, f"{path}: may run as root")
        check(whole.get("seccompProfile", {}).get("type") == "RuntimeDefault", f"{path}: no seccomp profile")
        check(pod.get("automountServiceAccountToken") is False, f"{path}: has a token it needs not")
        check(pod.get("enableServiceLinks") is False, f"{path}: Kubernetes sets LLM_ROUTER_… of its own")
        for each in containers(pod):
            ours = each["image"].startswith("llm-router:")
            check(not ours or each["command"][0] == rehearsal.PROGRAM, f"{path}: {each['name']} runs something else")
            own, name = each.get("securityContext", {}), f"{path}: {each['name']}"
            check(own.get("readOnlyRootFilesystem") is True, f"{name}: writes to its image")
            check(own.get("allowPrivilegeEscalation") is False, f"{name}: may gain rights")
            check(own.get("capabilities") == {"drop": ["ALL"]}, f"{name}: keeps capabilities")
            resources = each.get("resources", {})
            check("memory" in resources.get("limits", {}), f"{name}: no limit of memory")
            check({"cpu", "memory"} <= set(resources.get("requests", {})), f"{name}: asks for no resources")


def mentions_exist(objects):
    """Whatever a pod mounts or mentions is there, and what it mounts is under a path the config reads."""
    for path, _, pod in objects.pods():
        volumes = {each["name"] for each in pod.get("volumes", [])}
        if path.name == "statefulset.yaml":
            claims = objects["StatefulSet", "llm-router"]["spec"]["volumeClaimTemplates"]
            volumes |= {claim["metadata"]["name"] for claim in claims}
        mentioned = []
        for each in pod.get("volumes", []):
            mentioned += [("ConfigMap", each["configMap"]["name"])] if "configMap" in each else []
            mentioned += [("Secret", each["secret"]["secretName"])] if "secret" in each else []
            claim = each.get("persistentVolumeClaim")
            mentioned += [("PersistentVolumeClaim", claim["claimName"])] if claim else []
        for each in containers(pod):
            for mount in each.get("volumeMounts", []):
                check(mount["name"] in volumes, f"{path}: no volume {mount['name']}")
                check("subPath" not in mount and "subPathExpr" not in mount, f"{path}: {mount['name']} would grow old")
            for variable in each.get("env", []):
                reference = variable.get("valueFrom", {}).get("secretKeyRef")
                mentioned += [("Secret", reference["name"])] if reference else []
        for mention in mentioned:
            check(mention in objects.all or mention in BY_HAND, f"{path}: there is no {' '.join(mention)}")


def cluster_fits(objects):
    """Services, budget and policy mean the pods of the set, and the nodes find each other."""
    name, whole = "llm-router", objects["StatefulSet", "llm-router"]["spec"]
    labels, pod = whole["template"]["metadata"]["labels"], whole["template"]["spec"]
    check(selects(whole["selector"]["matchLabels"], labels), "the set does not select its own pods")
    peers = objects["Service", whole["serviceName"]]["spec"]
    check(peers["clusterIP"] == "None" and peers["publishNotReadyAddresses"], "peers are not found while they start")
    [node] = [each for each in pod["containers"] if each["name"] == name]
    ports = {each["name"]: each["containerPort"] for each in node["ports"]}
    for service in (peers, objects["Service", name]["spec"]):
        check(selects(service["selector"], labels), "a service does not mean the nodes")
        for port in service["ports"]:
            check(ports.get(port["targetPort"]) == port["port"], f"a service's port {port['name']} leads nowhere")
    budget = objects["PodDisruptionBudget", name]["spec"]
    check(selects(budget["selector"]["matchLabels"], labels), "the budget does not mean the nodes")
    check(budget["maxUnavailable"] == 1, "more than one voter may be taken away at once")
    flags = dict(each.removeprefix("--").split("=", 1) for each in node["command"] if "=" in each)
    members = [f"{name}-{n}.{whole['serviceName']}:{ports['cluster']}" for n in range(whole["replicas"])]
    check(flags["join"].split(",") == members, f"--join is not the set's members: {members}")
    check(flags["advertise"].replace("$(POD_NAME)", f"{name}-0") == members[0], "--advertise is not the pod's name")
    certificates = objects["Secret", "llm-router-certs"]["stringData"]
    wanted = {f"{name}-{n}.{end}" for n in range(whole["replicas"]) for end in ("pem", "key")} | {"ca.pem"}
    check(set(certificates) == wanted, f"the certificates are not those of the members: {sorted(wanted)}")
    begin = objects["Pod", "llm-router-begin"]["spec"]["containers"][0]["command"]
    check(f"--advertise={members[0]}" in begin and f"--node={name}-0" in begin, "another node begins the cluster")
    check(not any(each.startswith("--join") for each in begin), "the node that begins would join")
    claim = f"{whole['volumeClaimTemplates'][0]['metadata']['name']}-{name}-0"
    check(("PersistentVolumeClaim", claim) in objects.all, f"begin.yaml makes another volume than {claim}")
    listen = yaml.safe_load(objects["ConfigMap", name]["data"]["llm-router.yaml"])["listen"]
    for door, port in ports.items():
        check(listen[door] == f"0.0.0.0:{port}", f"the config's {door} door is not the pod's port {port}")
    ends_in_time(pod, node)


def ends_in_time(pod, node):
    source = (ROOT / "src/app/doors.rs").read_text()
    grace = int(re.search(r"const GRACE: Duration = Duration::from_secs\((\d+)\)", source)[1])
    needed = node["lifecycle"]["preStop"]["sleep"]["seconds"] + grace + ENDING_SECONDS
    check(pod["terminationGracePeriodSeconds"] >= needed, f"a node takes {needed} s to end")


def door_is_shut(objects):
    """Nobody but the nodes of the set gets to the node-to-node door."""
    policy = objects["NetworkPolicy", "llm-router"]["spec"]
    set_labels = objects["StatefulSet", "llm-router"]["spec"]["template"]["metadata"]["labels"]
    check(policy["policyTypes"] == ["Ingress"], "the policy is about something else")
    for _, labels, pod in objects.pods():
        if any("--certs" in part for each in containers(pod) for part in each.get("command", [])):
            check(selects(policy["podSelector"]["matchLabels"], labels), "a node is outside the policy")
    for rule in policy["ingress"]:
        named = [port["port"] for port in rule.get("ports", [])]
        check(named, "a rule opens every port")
        if {"cluster", 7400} & set(named):
            allowed = [list(each) for each in rule.get("from", [])]
            check(allowed == [["podSelector"]], "the node-to-node door is open to others than pods of this namespace")
            peers = [each.get("podSelector", {}).get("matchLabels") for each in rule.get("from", [])]
            check(peers == [set_labels], f"the node-to-node door is open to {peers}, not to the nodes alone")
    ports = [port for rule in policy["ingress"] for port in rule["ports"]]
    check([port["port"] for port in ports] == ["cluster", "http", "grpc"], "the policy is about other ports")


def metrics_exist():
    """Whatever the rules and the guide call a metric is an instrument of the program."""
    sources = "".join(path.read_text() for path in (ROOT / "src/telemetry").rglob("*.rs"))
    instruments = {name.replace(".", "_") for name in re.findall(r'"((?:llm_router|process)\.[a-z_.]+)"', sources)}
    check(len(instruments) > 50, "the sources' instruments were not found")
    for path in (FOLDER / "alerts.yaml", ROOT / "src/guide/operating.md"):
        for name in sorted(set(re.findall(r"\b(?:llm_router|process)_[a-z_]+[a-z]", path.read_text()))):
            bases = (name.removesuffix(found[0]) for found in re.finditer(SUFFIXES + "$", name))
            check(any(base in instruments for base in bases), f"{path.name}: no metric is called {name}")
    rules = yaml.safe_load((FOLDER / "alerts.yaml").read_text())["groups"]
    for rule in (rule for group in rules for rule in group["rules"]):
        complete = {"summary", "action"} <= set(rule["annotations"]) and rule["labels"]["severity"] in ("page", "ticket")
        check(complete, f"alerts.yaml: {rule['alert']} does not say what it means and what to do")


def main():
    found = load()
    check(len(found) > 10, "where are the manifests?")
    schemas(found)
    for path, each in found:
        words(path, each)
    objects = Objects(found)
    for look in (pods_are_locked, mentions_exist, cluster_fits, door_is_shut):
        look(objects)
    metrics_exist()
    with_binary = len(sys.argv) > 1 and pathlib.Path(sys.argv[1]).is_file()
    if with_binary and not problems:
        problems.extend(rehearsal.run(sys.argv[1], objects))
    for problem in problems:
        print(f"  {problem}", file=sys.stderr)
    said = "with the program, on loopback" if with_binary else "SKIPPED with the program, which is not built"
    if not problems:
        print(f"kubernetes: {len(found)} objects in order (Kubernetes {' and '.join(VERSIONS)}); {said}")
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main())
