{{- define "tunnelgate.name" -}}
{{ .Values.nameOverride | default .Chart.Name | trunc 40 | trimSuffix "-" }}
{{- end -}}

{{- define "tunnelgate.fullname" -}}
{{- $name := include "tunnelgate.name" . -}}
{{- $both := contains $name .Release.Name | ternary .Release.Name (printf "%s-%s" .Release.Name $name) -}}
{{ .Values.fullnameOverride | default $both | trunc 40 | trimSuffix "-" }}
{{- end -}}

{{/* By which the pods of a part are found; these never change. Call it with (list . "gate"). */}}
{{- define "tunnelgate.selector" -}}
{{- $ := index . 0 -}}
app.kubernetes.io/name: {{ include "tunnelgate.name" $ }}
app.kubernetes.io/instance: {{ $.Release.Name }}
app.kubernetes.io/component: {{ index . 1 }}
{{- end -}}

{{- define "tunnelgate.labels" -}}
{{- $ := index . 0 -}}
{{ include "tunnelgate.selector" . }}
app.kubernetes.io/version: {{ $.Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ $.Release.Service }}
helm.sh/chart: {{ printf "%s-%s" $.Chart.Name $.Chart.Version | replace "+" "_" }}
{{- end -}}

{{/* Call it with (list .Values.image .Chart.AppVersion). */}}
{{- define "tunnelgate.image" -}}
{{- $image := index . 0 -}}
{{ $image.repository }}:{{ $image.tag | default (index . 1) }}{{ with $image.digest }}@{{ . }}{{ end }}
{{- end -}}
