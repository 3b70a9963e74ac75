{{/* cloudflared, which has no route of its own and passes all it gets to the gate. */}}
{{- define "tunnelgate.connector" -}}
name: cloudflared
image: {{ include "tunnelgate.image" (list .Values.connector.image "") }}
imagePullPolicy: {{ .Values.connector.image.pullPolicy }}
args:
  - tunnel
  - --no-autoupdate
  - --metrics={{ .Values.metrics.enabled | ternary "" "127.0.0.1" }}:20241
  - --grace-period={{ include "tunnelgate.connectorSeconds" . }}s
  - run
  - --token-file=/etc/cloudflared/token/tunnel-token
  - --url=http://127.0.0.1:8080
{{- if .Values.metrics.enabled }}
ports:
  - name: metrics
    containerPort: 20241
{{- end }}
readinessProbe:
  {{- include "tunnelgate.connectorProbe" . | nindent 2 }}
  periodSeconds: 10
  timeoutSeconds: 5
  failureThreshold: 3
livenessProbe: # five minutes without the edge: it tries again by itself meanwhile
  {{- include "tunnelgate.connectorProbe" . | nindent 2 }}
  initialDelaySeconds: 30
  periodSeconds: 30
  timeoutSeconds: 5
  failureThreshold: 10
resources:
  {{- toYaml .Values.connector.resources | nindent 2 }}
securityContext:
  {{- include "tunnelgate.containerSecurity" . | nindent 2 }}
volumeMounts:
  - {name: tunnel-token, mountPath: /etc/cloudflared/token, readOnly: true}
{{- end -}}

{{- define "tunnelgate.connectorProbe" -}}
exec:
  command: [cloudflared, tunnel, "--metrics=127.0.0.1:20241", ready]
{{- end -}}
