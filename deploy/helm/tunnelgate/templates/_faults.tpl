{{/* What no single value shows to be wrong, all of it at once. */}}
{{- define "tunnelgate.check" -}}
{{- $faults := list -}}
{{- if .Values.connector.enabled -}}
{{- if not .Values.connector.tokenSecretName -}}
{{- $faults = append $faults "connector.tokenSecretName is empty: name a Secret with the key tunnel-token, or set connector.enabled: false" -}}
{{- end -}}
{{- if not .Values.certificate.secretName -}}
{{- $faults = append $faults "certificate.secretName is empty: name a Secret with tls.crt and tls.key, which the other end of the tunnel asks for" -}}
{{- end -}}
{{- if .Values.networkPolicy.connectorPeers -}}
{{- $faults = append $faults "networkPolicy.connectorPeers means nothing while the connector is in the pod (connector.enabled: true)" -}}
{{- end -}}
{{- else -}}
{{- if not .Values.config.clients -}}
{{- $faults = append $faults "config.clients is missing: list the addresses of the connector's pods in config.clients.allowed_ips" -}}
{{- end -}}
{{- if and .Values.networkPolicy.enabled (not .Values.networkPolicy.connectorPeers) -}}
{{- $faults = append $faults "networkPolicy.connectorPeers is empty, so nobody could connect: name the connector's pods" -}}
{{- end -}}
{{- if .Values.metrics.enabled -}}
{{- $faults = append $faults "metrics.enabled is about cloudflared in the pod, which connector.enabled: false leaves out" -}}
{{- end -}}
{{- end -}}
{{- if .Values.renewal.enabled -}}
{{- if not .Values.renewal.authoritySecretName -}}
{{- $faults = append $faults "renewal.authoritySecretName is empty: name a Secret with ca.crt and ca.key" -}}
{{- end -}}
{{- if not .Values.certificate.secretName -}}
{{- $faults = append $faults "renewal.enabled needs certificate.secretName: the Secret that is renewed" -}}
{{- end -}}
{{- end -}}
{{- if and (include "tunnelgate.isReplicated" .) (not .Values.sealingKeys.secretName) (not .Values.config.sealing_keys) -}}
{{- $faults = append $faults "sealingKeys.secretName is empty: replicas need the same keys, or sessions would end whenever another pod answers" -}}
{{- end -}}
{{- if and .Values.sealingKeys.secretName .Values.config.sealing_keys -}}
{{- $faults = append $faults "sealingKeys.secretName and config.sealing_keys are both set; which one is meant?" -}}
{{- end -}}
{{- if and .Values.autoscaling.enabled (gt (int .Values.autoscaling.minReplicas) (int .Values.autoscaling.maxReplicas)) -}}
{{- $faults = append $faults "autoscaling.minReplicas is more than autoscaling.maxReplicas" -}}
{{- end -}}
{{- if and .Values.metrics.enabled .Values.networkPolicy.enabled (not .Values.metrics.peers) -}}
{{- $faults = append $faults "metrics.peers is empty, so nobody could ask for them: name the pods of Prometheus" -}}
{{- end -}}
{{- if and .Values.metrics.serviceMonitor.enabled (not .Values.metrics.enabled) -}}
{{- $faults = append $faults "metrics.serviceMonitor.enabled needs metrics.enabled" -}}
{{- end -}}
{{- with $faults -}}
{{- fail (printf "these values do not fit together:\n  %s" (join "\n  " .)) -}}
{{- end -}}
{{- end -}}
