{{/* The gate's container. Nothing but Python is asked to be in its image, and no shell. */}}
{{- define "tunnelgate.gate" -}}
name: gate
image: {{ include "tunnelgate.image" (list .Values.image .Chart.AppVersion) }}
imagePullPolicy: {{ .Values.image.pullPolicy }}
args: [serve, --config, /etc/mcp-gateway/config.yaml]
{{- if not .Values.connector.enabled }}
ports:
  - name: gate
    containerPort: 8080
lifecycle:
  preStop:
    sleep: {seconds: 5} # until nobody is sent here any more
{{- end }}
startupProbe:
  {{- include "tunnelgate.probe" . | nindent 2 }}
  periodSeconds: 1
  timeoutSeconds: 5
  failureThreshold: 60
livenessProbe:
  {{- include "tunnelgate.probe" . | nindent 2 }}
  periodSeconds: 20
  timeoutSeconds: 5
  failureThreshold: 3
readinessProbe:
  {{- include "tunnelgate.probe" . | nindent 2 }}
  periodSeconds: 10
  timeoutSeconds: 5
  failureThreshold: 3
resources:
  {{- toYaml .Values.resources | nindent 2 }}
securityContext:
  {{- include "tunnelgate.containerSecurity" . | nindent 2 }}
volumeMounts: # folders, never single files: those would not change when what they are made of does
  - {name: configuration, mountPath: /etc/mcp-gateway, readOnly: true}
  {{- if .Values.certificate.secretName }}
  - {name: certificate, mountPath: /etc/tunnelgate/certificate, readOnly: true}
  {{- end }}
  {{- if .Values.sealingKeys.secretName }}
  - {name: sealing-keys, mountPath: /etc/tunnelgate/sealing-keys, readOnly: true}
  {{- end }}
  {{- range .Values.files }}
  - {name: file-{{ .name }}, mountPath: /etc/tunnelgate/files/{{ .name }}, readOnly: true}
  {{- end }}
{{- end -}}

{{/* A connection that says nothing. The kubelet itself cannot reach a port of the pod's loopback. */}}
{{- define "tunnelgate.probe" -}}
{{- if .Values.connector.enabled -}}
exec:
  command: [python, -ISc, "import socket; socket.create_connection(('127.0.0.1', 8080), 4).close()"]
{{- else -}}
tcpSocket:
  port: gate
{{- end -}}
{{- end -}}
