"""Holds rendered manifests (YAML on standard input) against Kubernetes' own schemas, and each reference among them
against what it names: a schema takes a Service that selects nothing and a volume that nobody fills.

usage: kubectl kustomize OVERLAY | manifests.py NAME VERSION...
"""

import sys

import kubernetes_validate
import yaml


def name(resource):
    meta = resource["metadata"]
    return f"{resource['kind']} {meta.get('namespace', '-')}/{meta['name']}"


def schema_mistakes(resource, version):
    try:
        kubernetes_validate.validate(resource, version, strict=True)
    except kubernetes_validate.ValidationError as error:
        path = ".".join(str(step) for step in error.path)
        yield f"{name(resource)}: Kubernetes {version}: {path}: {error.message}"
    except kubernetes_validate.SchemaNotFoundError as error:
        yield f"{name(resource)}: {error.message}"


def pods(resource):
    """The Pod template of a Deployment, StatefulSet or Job."""
    template = resource.get("spec", {}).get("template")
    return [template] if template else []


def claim_mistakes(resource, pod, claims):
    """A volume that one Pod has at a time holds up a second replica, and a rolling update, for ever."""
    for volume in pod["spec"].get("volumes", []):
        wanted = volume.get("persistentVolumeClaim", {}).get("claimName")
        if not wanted:
            continue
        claim = claims.get((resource["metadata"].get("namespace"), wanted))
        if claim is None:
            yield f"{name(resource)}: no PersistentVolumeClaim {wanted} for the volume {volume['name']}"
        elif "ReadWriteMany" not in claim["spec"]["accessModes"]:
            spec = resource["spec"]
            if spec.get("replicas", 1) > 1 or spec.get("strategy", {}).get("type") != "Recreate":
                yield f"{name(resource)}: the volume {volume['name']} is for one replica with the strategy Recreate"


def reference_mistakes(resources):
    claims = {
        (r["metadata"].get("namespace"), r["metadata"]["name"]): r
        for r in resources
        if r["kind"] == "PersistentVolumeClaim"
    }
    labels = [
        (r["metadata"].get("namespace"), pod["metadata"]["labels"].items()) for r in resources for pod in pods(r)
    ]
    config_maps = {
        (r["metadata"].get("namespace"), r["metadata"]["name"]) for r in resources if r["kind"] == "ConfigMap"
    }
    for resource in resources:
        namespace = resource["metadata"].get("namespace")
        if resource["kind"] in ("Service", "PodDisruptionBudget"):
            selector = resource["spec"].get("selector") or {}
            wanted = selector.get("matchLabels", selector).items()
            if not wanted or not any(ns == namespace and wanted <= have for ns, have in labels):
                yield f"{name(resource)}: selects no Pod of this render"
        for pod in pods(resource):
            yield from claim_mistakes(resource, pod, claims)
            for volume in pod["spec"].get("volumes", []):
                wanted = volume.get("configMap", {}).get("name")
                if wanted and (namespace, wanted) not in config_maps:
                    yield f"{name(resource)}: no ConfigMap {namespace}/{wanted} for the volume {volume['name']}"


def main(overlay, *versions):
    resources = [resource for resource in yaml.safe_load_all(sys.stdin) if resource]
    mistakes = [m for r in resources for version in versions for m in schema_mistakes(r, version)]
    mistakes += reference_mistakes(resources)
    if not resources:
        mistakes.append("rendered nothing")
    for mistake in mistakes:
        print(f"{overlay}: {mistake}")
    if not mistakes:
        print(f"{overlay}: {len(resources)} objects, valid for Kubernetes {', '.join(versions)}")
    return 1 if mistakes else 0


sys.exit(main(*sys.argv[1:]))
