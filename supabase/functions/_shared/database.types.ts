export type Json = string | number | boolean | null | { [key: string]: Json | undefined } | Json[];

export type Database = {
  "public": {
    Tables: {
      "app_assignments": {
        Row: {
          "app_id": string;
          "assigned_by": string | null;
          "company_id": string;
          "created_at": string;
        };
        ComputedFields: never;
        Insert: {
          "app_id": string;
          "assigned_by"?: string | null;
          "company_id": string;
          "created_at"?: string;
        };
        Update: {
          "app_id"?: string;
          "assigned_by"?: string | null;
          "company_id"?: string;
          "created_at"?: string;
        };
        Relationships: [
          {
            foreignKeyName: "app_assignments_app_id_fkey";
            columns: ["app_id"];
            isOneToOne: false;
            referencedRelation: "applications";
            referencedColumns: ["id"];
          },
          {
            foreignKeyName: "app_assignments_company_id_fkey";
            columns: ["company_id"];
            isOneToOne: false;
            referencedRelation: "companies";
            referencedColumns: ["id"];
          },
        ];
      };
      "app_builds": {
        Row: {
          "app_id": string;
          "attempt": number;
          "attempt_history": NonNullable<Json>;
          "build_after": string;
          "build_config": NonNullable<Json>;
          "build_logs": string | null;
          "build_logs_size": number | null;
          "build_path": string | null;
          "build_status": string;
          "build_version": string;
          "checksum": string | null;
          "completed_at": string | null;
          "created_at": string;
          "error_message": string | null;
          "executor_id": string | null;
          "file_size": number | null;
          "id": string;
          "is_released": boolean;
          "lease_expires_at": string | null;
          "max_attempts": number;
          "requested_by": string | null;
          "source_checksum": string | null;
          "started_at": string | null;
          "updated_at": string;
        };
        ComputedFields: never;
        Insert: {
          "app_id": string;
          "attempt"?: number;
          "attempt_history"?: NonNullable<Json>;
          "build_after"?: string;
          "build_config"?: NonNullable<Json>;
          "build_logs"?: string | null;
          "build_logs_size"?: number | null;
          "build_path"?: string | null;
          "build_status"?: string;
          "build_version": string;
          "checksum"?: string | null;
          "completed_at"?: string | null;
          "created_at"?: string;
          "error_message"?: string | null;
          "executor_id"?: string | null;
          "file_size"?: number | null;
          "id"?: string;
          "is_released"?: boolean;
          "lease_expires_at"?: string | null;
          "max_attempts"?: number;
          "requested_by"?: string | null;
          "source_checksum"?: string | null;
          "started_at"?: string | null;
          "updated_at"?: string;
        };
        Update: {
          "app_id"?: string;
          "attempt"?: number;
          "attempt_history"?: NonNullable<Json>;
          "build_after"?: string;
          "build_config"?: NonNullable<Json>;
          "build_logs"?: string | null;
          "build_logs_size"?: number | null;
          "build_path"?: string | null;
          "build_status"?: string;
          "build_version"?: string;
          "checksum"?: string | null;
          "completed_at"?: string | null;
          "created_at"?: string;
          "error_message"?: string | null;
          "executor_id"?: string | null;
          "file_size"?: number | null;
          "id"?: string;
          "is_released"?: boolean;
          "lease_expires_at"?: string | null;
          "max_attempts"?: number;
          "requested_by"?: string | null;
          "source_checksum"?: string | null;
          "started_at"?: string | null;
          "updated_at"?: string;
        };
        Relationships: [
          {
            foreignKeyName: "app_builds_app_id_fkey";
            columns: ["app_id"];
            isOneToOne: false;
            referencedRelation: "applications";
            referencedColumns: ["id"];
          },
          {
            foreignKeyName: "app_builds_build_version_fkey";
            columns: ["app_id", "build_version"];
            isOneToOne: false;
            referencedRelation: "app_versions";
            referencedColumns: ["app_id", "version"];
          },
        ];
      };
      "app_cron_schedules": {
        Row: {
          "app_id": string;
          "company_id": string;
          "config": NonNullable<Json>;
          "created_at": string;
          "created_by": string | null;
          "cron_expression": string;
          "id": string;
          "is_active": boolean;
          "last_run_at": string | null;
          "last_run_id": string | null;
          "max_lateness": string;
          "missed_policy": string;
          "next_run_at": string | null;
          "overlap_policy": string;
          "timezone": string;
          "updated_at": string;
        };
        ComputedFields: never;
        Insert: {
          "app_id": string;
          "company_id": string;
          "config"?: NonNullable<Json>;
          "created_at"?: string;
          "created_by"?: string | null;
          "cron_expression": string;
          "id"?: string;
          "is_active"?: boolean;
          "last_run_at"?: string | null;
          "last_run_id"?: string | null;
          "max_lateness"?: string;
          "missed_policy"?: string;
          "next_run_at"?: string | null;
          "overlap_policy"?: string;
          "timezone"?: string;
          "updated_at"?: string;
        };
        Update: {
          "app_id"?: string;
          "company_id"?: string;
          "config"?: NonNullable<Json>;
          "created_at"?: string;
          "created_by"?: string | null;
          "cron_expression"?: string;
          "id"?: string;
          "is_active"?: boolean;
          "last_run_at"?: string | null;
          "last_run_id"?: string | null;
          "max_lateness"?: string;
          "missed_policy"?: string;
          "next_run_at"?: string | null;
          "overlap_policy"?: string;
          "timezone"?: string;
          "updated_at"?: string;
        };
        Relationships: [
          {
            foreignKeyName: "app_cron_schedules_app_id_fkey";
            columns: ["app_id"];
            isOneToOne: false;
            referencedRelation: "applications";
            referencedColumns: ["id"];
          },
          {
            foreignKeyName: "app_cron_schedules_company_id_fkey";
            columns: ["company_id"];
            isOneToOne: false;
            referencedRelation: "companies";
            referencedColumns: ["id"];
          },
          {
            foreignKeyName: "app_cron_schedules_last_run_id_fkey";
            columns: ["last_run_id"];
            isOneToOne: false;
            referencedRelation: "app_runs";
            referencedColumns: ["id"];
          },
        ];
      };
      "app_cron_skips": {
        Row: {
          "company_id": string;
          "created_at": string;
          "due_count": number | null;
          "first_due_at": string;
          "id": string;
          "last_due_at": string;
          "message": string;
          "reason": string;
          "schedule_id": string;
        };
        ComputedFields: never;
        Insert: {
          "company_id": string;
          "created_at"?: string;
          "due_count"?: number | null;
          "first_due_at": string;
          "id"?: string;
          "last_due_at": string;
          "message": string;
          "reason": string;
          "schedule_id": string;
        };
        Update: {
          "company_id"?: string;
          "created_at"?: string;
          "due_count"?: number | null;
          "first_due_at"?: string;
          "id"?: string;
          "last_due_at"?: string;
          "message"?: string;
          "reason"?: string;
          "schedule_id"?: string;
        };
        Relationships: [
          {
            foreignKeyName: "app_cron_skips_company_id_fkey";
            columns: ["company_id"];
            isOneToOne: false;
            referencedRelation: "companies";
            referencedColumns: ["id"];
          },
          {
            foreignKeyName: "app_cron_skips_schedule_id_fkey";
            columns: ["schedule_id"];
            isOneToOne: false;
            referencedRelation: "app_cron_schedules";
            referencedColumns: ["id"];
          },
        ];
      };
      "app_download_tokens": {
        Row: {
          "app_id": string;
          "company_id": string;
          "created_at": string;
          "created_by": string | null;
          "download_count": number;
          "expires_at": string;
          "file_id": string | null;
          "file_name": string | null;
          "id": string;
          "label": string | null;
          "last_used_at": string | null;
          "max_downloads": number | null;
          "output_id": string | null;
          "revoked_at": string | null;
          "revoked_by": string | null;
          "secret_sha256": string;
        };
        ComputedFields: never;
        Insert: {
          "app_id": string;
          "company_id": string;
          "created_at"?: string;
          "created_by"?: string | null;
          "download_count"?: number;
          "expires_at": string;
          "file_id"?: string | null;
          "file_name"?: string | null;
          "id"?: string;
          "label"?: string | null;
          "last_used_at"?: string | null;
          "max_downloads"?: number | null;
          "output_id"?: string | null;
          "revoked_at"?: string | null;
          "revoked_by"?: string | null;
          "secret_sha256": string;
        };
        Update: {
          "app_id"?: string;
          "company_id"?: string;
          "created_at"?: string;
          "created_by"?: string | null;
          "download_count"?: number;
          "expires_at"?: string;
          "file_id"?: string | null;
          "file_name"?: string | null;
          "id"?: string;
          "label"?: string | null;
          "last_used_at"?: string | null;
          "max_downloads"?: number | null;
          "output_id"?: string | null;
          "revoked_at"?: string | null;
          "revoked_by"?: string | null;
          "secret_sha256"?: string;
        };
        Relationships: [
          {
            foreignKeyName: "app_download_tokens_app_id_fkey";
            columns: ["app_id"];
            isOneToOne: false;
            referencedRelation: "applications";
            referencedColumns: ["id"];
          },
          {
            foreignKeyName: "app_download_tokens_company_id_fkey";
            columns: ["company_id"];
            isOneToOne: false;
            referencedRelation: "companies";
            referencedColumns: ["id"];
          },
          {
            foreignKeyName: "app_download_tokens_file_id_fkey";
            columns: ["file_id"];
            isOneToOne: false;
            referencedRelation: "app_storage";
            referencedColumns: ["id"];
          },
          {
            foreignKeyName: "app_download_tokens_output_id_fkey";
            columns: ["output_id"];
            isOneToOne: false;
            referencedRelation: "app_outputs";
            referencedColumns: ["id"];
          },
        ];
      };
      "app_downloads": {
        Row: {
          "app_id": string;
          "bucket": string;
          "bytes": number | null;
          "company_id": string;
          "created_at": string;
          "file_id": string | null;
          "id": string;
          "method": string;
          "path": string;
          "token_id": string | null;
          "user_id": string | null;
          "version": string | null;
        };
        ComputedFields: never;
        Insert: {
          "app_id": string;
          "bucket": string;
          "bytes"?: number | null;
          "company_id": string;
          "created_at"?: string;
          "file_id"?: string | null;
          "id"?: string;
          "method": string;
          "path": string;
          "token_id"?: string | null;
          "user_id"?: string | null;
          "version"?: string | null;
        };
        Update: {
          "app_id"?: string;
          "bucket"?: string;
          "bytes"?: number | null;
          "company_id"?: string;
          "created_at"?: string;
          "file_id"?: string | null;
          "id"?: string;
          "method"?: string;
          "path"?: string;
          "token_id"?: string | null;
          "user_id"?: string | null;
          "version"?: string | null;
        };
        Relationships: [
          {
            foreignKeyName: "app_downloads_app_id_fkey";
            columns: ["app_id"];
            isOneToOne: false;
            referencedRelation: "applications";
            referencedColumns: ["id"];
          },
          {
            foreignKeyName: "app_downloads_company_id_fkey";
            columns: ["company_id"];
            isOneToOne: false;
            referencedRelation: "companies";
            referencedColumns: ["id"];
          },
          {
            foreignKeyName: "app_downloads_token_id_fkey";
            columns: ["token_id"];
            isOneToOne: false;
            referencedRelation: "app_download_tokens";
            referencedColumns: ["id"];
          },
        ];
      };
      "app_outputs": {
        Row: {
          "company_id": string;
          "created_at": string;
          "file_size": number | null;
          "id": string;
          "output_bucket": string | null;
          "output_data": Json | null;
          "output_name": string;
          "output_path": string | null;
          "output_type": string;
          "run_id": string;
        };
        ComputedFields: never;
        Insert: {
          "company_id": string;
          "created_at"?: string;
          "file_size"?: number | null;
          "id"?: string;
          "output_bucket"?: string | null;
          "output_data"?: Json | null;
          "output_name": string;
          "output_path"?: string | null;
          "output_type": string;
          "run_id": string;
        };
        Update: {
          "company_id"?: string;
          "created_at"?: string;
          "file_size"?: number | null;
          "id"?: string;
          "output_bucket"?: string | null;
          "output_data"?: Json | null;
          "output_name"?: string;
          "output_path"?: string | null;
          "output_type"?: string;
          "run_id"?: string;
        };
        Relationships: [
          {
            foreignKeyName: "app_outputs_company_id_fkey";
            columns: ["company_id"];
            isOneToOne: false;
            referencedRelation: "companies";
            referencedColumns: ["id"];
          },
          {
            foreignKeyName: "app_outputs_run_id_fkey";
            columns: ["run_id"];
            isOneToOne: false;
            referencedRelation: "app_runs";
            referencedColumns: ["id"];
          },
        ];
      };
      "app_permissions": {
        Row: {
          "app_id": string;
          "created_at": string;
          "description": string | null;
          "id": string;
          "is_required": boolean;
          "permission_type": string;
          "permission_value": string;
          "version": string | null;
        };
        ComputedFields: never;
        Insert: {
          "app_id": string;
          "created_at"?: string;
          "description"?: string | null;
          "id"?: string;
          "is_required"?: boolean;
          "permission_type": string;
          "permission_value": string;
          "version"?: string | null;
        };
        Update: {
          "app_id"?: string;
          "created_at"?: string;
          "description"?: string | null;
          "id"?: string;
          "is_required"?: boolean;
          "permission_type"?: string;
          "permission_value"?: string;
          "version"?: string | null;
        };
        Relationships: [
          {
            foreignKeyName: "app_permissions_app_id_fkey";
            columns: ["app_id"];
            isOneToOne: false;
            referencedRelation: "applications";
            referencedColumns: ["id"];
          },
          {
            foreignKeyName: "app_permissions_version_fkey";
            columns: ["app_id", "version"];
            isOneToOne: false;
            referencedRelation: "app_versions";
            referencedColumns: ["app_id", "version"];
          },
        ];
      };
      "app_runs": {
        Row: {
          "app_id": string;
          "attempt": number;
          "attempt_history": NonNullable<Json>;
          "build_id": string | null;
          "cancel_requested_at": string | null;
          "company_id": string;
          "completed_at": string | null;
          "config": NonNullable<Json>;
          "created_at": string;
          "duration_ms": number | null;
          "error_message": string | null;
          "executor_id": string | null;
          "id": string;
          "idempotency_key": string | null;
          "lease_expires_at": string | null;
          "logs_path": string | null;
          "max_attempts": number;
          "metadata": NonNullable<Json>;
          "output_path": string | null;
          "priority": number;
          "requested_by": string | null;
          "retry_failures": boolean;
          "retry_of": string | null;
          "run_after": string;
          "run_type": string;
          "started_at": string | null;
          "status": string;
          "updated_at": string;
          "version": string;
        };
        ComputedFields: never;
        Insert: {
          "app_id": string;
          "attempt"?: number;
          "attempt_history"?: NonNullable<Json>;
          "build_id"?: string | null;
          "cancel_requested_at"?: string | null;
          "company_id": string;
          "completed_at"?: string | null;
          "config"?: NonNullable<Json>;
          "created_at"?: string;
          "duration_ms"?: number | null;
          "error_message"?: string | null;
          "executor_id"?: string | null;
          "id"?: string;
          "idempotency_key"?: string | null;
          "lease_expires_at"?: string | null;
          "logs_path"?: string | null;
          "max_attempts"?: number;
          "metadata"?: NonNullable<Json>;
          "output_path"?: string | null;
          "priority"?: number;
          "requested_by"?: string | null;
          "retry_failures"?: boolean;
          "retry_of"?: string | null;
          "run_after"?: string;
          "run_type"?: string;
          "started_at"?: string | null;
          "status"?: string;
          "updated_at"?: string;
          "version": string;
        };
        Update: {
          "app_id"?: string;
          "attempt"?: number;
          "attempt_history"?: NonNullable<Json>;
          "build_id"?: string | null;
          "cancel_requested_at"?: string | null;
          "company_id"?: string;
          "completed_at"?: string | null;
          "config"?: NonNullable<Json>;
          "created_at"?: string;
          "duration_ms"?: number | null;
          "error_message"?: string | null;
          "executor_id"?: string | null;
          "id"?: string;
          "idempotency_key"?: string | null;
          "lease_expires_at"?: string | null;
          "logs_path"?: string | null;
          "max_attempts"?: number;
          "metadata"?: NonNullable<Json>;
          "output_path"?: string | null;
          "priority"?: number;
          "requested_by"?: string | null;
          "retry_failures"?: boolean;
          "retry_of"?: string | null;
          "run_after"?: string;
          "run_type"?: string;
          "started_at"?: string | null;
          "status"?: string;
          "updated_at"?: string;
          "version"?: string;
        };
        Relationships: [
          {
            foreignKeyName: "app_runs_app_id_fkey";
            columns: ["app_id"];
            isOneToOne: false;
            referencedRelation: "applications";
            referencedColumns: ["id"];
          },
          {
            foreignKeyName: "app_runs_build_id_fkey";
            columns: ["build_id"];
            isOneToOne: false;
            referencedRelation: "app_builds";
            referencedColumns: ["id"];
          },
          {
            foreignKeyName: "app_runs_company_id_fkey";
            columns: ["company_id"];
            isOneToOne: false;
            referencedRelation: "companies";
            referencedColumns: ["id"];
          },
          {
            foreignKeyName: "app_runs_retry_of_fkey";
            columns: ["retry_of"];
            isOneToOne: false;
            referencedRelation: "app_runs";
            referencedColumns: ["id"];
          },
          {
            foreignKeyName: "app_runs_version_fkey";
            columns: ["app_id", "version"];
            isOneToOne: false;
            referencedRelation: "app_versions";
            referencedColumns: ["app_id", "version"];
          },
        ];
      };
      "app_storage": {
        Row: {
          "app_id": string;
          "checksum": string;
          "content_type": string;
          "created_at": string;
          "file_path": string;
          "file_size": number;
          "file_type": string;
          "id": string;
          "is_released": boolean;
          "metadata": NonNullable<Json>;
          "updated_at": string;
          "version": string;
        };
        ComputedFields: never;
        Insert: {
          "app_id": string;
          "checksum": string;
          "content_type"?: string;
          "created_at"?: string;
          "file_path": string;
          "file_size": number;
          "file_type": string;
          "id"?: string;
          "is_released"?: boolean;
          "metadata"?: NonNullable<Json>;
          "updated_at"?: string;
          "version": string;
        };
        Update: {
          "app_id"?: string;
          "checksum"?: string;
          "content_type"?: string;
          "created_at"?: string;
          "file_path"?: string;
          "file_size"?: number;
          "file_type"?: string;
          "id"?: string;
          "is_released"?: boolean;
          "metadata"?: NonNullable<Json>;
          "updated_at"?: string;
          "version"?: string;
        };
        Relationships: [
          {
            foreignKeyName: "app_storage_app_id_fkey";
            columns: ["app_id"];
            isOneToOne: false;
            referencedRelation: "applications";
            referencedColumns: ["id"];
          },
          {
            foreignKeyName: "app_storage_version_fkey";
            columns: ["app_id", "version"];
            isOneToOne: false;
            referencedRelation: "app_versions";
            referencedColumns: ["app_id", "version"];
          },
        ];
      };
      "app_uploads": {
        Row: {
          "app_id": string;
          "checksum": string;
          "company_id": string;
          "completed_at": string | null;
          "content_type": string;
          "created_at": string;
          "created_by": string | null;
          "error_code": string | null;
          "error_message": string | null;
          "expires_at": string;
          "file_id": string | null;
          "file_name": string;
          "file_path": string;
          "file_size": number;
          "file_type": string;
          "id": string;
          "replaces_bytes": number | null;
          "staging_path": string;
          "status": string;
          "updated_at": string;
          "verifying_until": string | null;
          "version": string;
        };
        ComputedFields: never;
        Insert: {
          "app_id": string;
          "checksum": string;
          "company_id": string;
          "completed_at"?: string | null;
          "content_type": string;
          "created_at"?: string;
          "created_by"?: string | null;
          "error_code"?: string | null;
          "error_message"?: string | null;
          "expires_at"?: string;
          "file_id"?: string | null;
          "file_name": string;
          "file_path": string;
          "file_size": number;
          "file_type": string;
          "id"?: string;
          "replaces_bytes"?: number | null;
          "staging_path"?: never;
          "status"?: string;
          "updated_at"?: string;
          "verifying_until"?: string | null;
          "version": string;
        };
        Update: {
          "app_id"?: string;
          "checksum"?: string;
          "company_id"?: string;
          "completed_at"?: string | null;
          "content_type"?: string;
          "created_at"?: string;
          "created_by"?: string | null;
          "error_code"?: string | null;
          "error_message"?: string | null;
          "expires_at"?: string;
          "file_id"?: string | null;
          "file_name"?: string;
          "file_path"?: string;
          "file_size"?: number;
          "file_type"?: string;
          "id"?: string;
          "replaces_bytes"?: number | null;
          "staging_path"?: never;
          "status"?: string;
          "updated_at"?: string;
          "verifying_until"?: string | null;
          "version"?: string;
        };
        Relationships: [
          {
            foreignKeyName: "app_uploads_app_id_fkey";
            columns: ["app_id"];
            isOneToOne: false;
            referencedRelation: "applications";
            referencedColumns: ["id"];
          },
          {
            foreignKeyName: "app_uploads_company_id_fkey";
            columns: ["company_id"];
            isOneToOne: false;
            referencedRelation: "companies";
            referencedColumns: ["id"];
          },
          {
            foreignKeyName: "app_uploads_file_id_fkey";
            columns: ["file_id"];
            isOneToOne: false;
            referencedRelation: "app_storage";
            referencedColumns: ["id"];
          },
        ];
      };
      "app_versions": {
        Row: {
          "app_id": string;
          "created_at": string;
          "created_by": string | null;
          "has_backend": boolean;
          "manifest": Json | null;
          "published_at": string | null;
          "published_by": string | null;
          "status": string;
          "status_reason": string | null;
          "updated_at": string;
          "version": string;
          "version_key": string;
        };
        ComputedFields: never;
        Insert: {
          "app_id": string;
          "created_at"?: string;
          "created_by"?: string | null;
          "has_backend"?: never;
          "manifest"?: Json | null;
          "published_at"?: string | null;
          "published_by"?: string | null;
          "status"?: string;
          "status_reason"?: string | null;
          "updated_at"?: string;
          "version": string;
          "version_key"?: never;
        };
        Update: {
          "app_id"?: string;
          "created_at"?: string;
          "created_by"?: string | null;
          "has_backend"?: never;
          "manifest"?: Json | null;
          "published_at"?: string | null;
          "published_by"?: string | null;
          "status"?: string;
          "status_reason"?: string | null;
          "updated_at"?: string;
          "version"?: string;
          "version_key"?: never;
        };
        Relationships: [
          {
            foreignKeyName: "app_versions_app_id_fkey";
            columns: ["app_id"];
            isOneToOne: false;
            referencedRelation: "applications";
            referencedColumns: ["id"];
          },
        ];
      };
      "app_webhook_deliveries": {
        Row: {
          "body_size": number;
          "company_id": string;
          "delivery_id": string;
          "last_received_at": string;
          "message": string | null;
          "outcome": string;
          "received_at": string;
          "received_count": number;
          "run_id": string | null;
          "webhook_id": string;
        };
        ComputedFields: never;
        Insert: {
          "body_size": number;
          "company_id": string;
          "delivery_id": string;
          "last_received_at"?: string;
          "message"?: string | null;
          "outcome": string;
          "received_at"?: string;
          "received_count"?: number;
          "run_id"?: string | null;
          "webhook_id": string;
        };
        Update: {
          "body_size"?: number;
          "company_id"?: string;
          "delivery_id"?: string;
          "last_received_at"?: string;
          "message"?: string | null;
          "outcome"?: string;
          "received_at"?: string;
          "received_count"?: number;
          "run_id"?: string | null;
          "webhook_id"?: string;
        };
        Relationships: [
          {
            foreignKeyName: "app_webhook_deliveries_company_id_fkey";
            columns: ["company_id"];
            isOneToOne: false;
            referencedRelation: "companies";
            referencedColumns: ["id"];
          },
          {
            foreignKeyName: "app_webhook_deliveries_run_id_fkey";
            columns: ["run_id"];
            isOneToOne: false;
            referencedRelation: "app_runs";
            referencedColumns: ["id"];
          },
          {
            foreignKeyName: "app_webhook_deliveries_webhook_id_fkey";
            columns: ["webhook_id"];
            isOneToOne: false;
            referencedRelation: "app_webhooks";
            referencedColumns: ["id"];
          },
        ];
      };
      "app_webhooks": {
        Row: {
          "app_id": string;
          "company_id": string;
          "config": NonNullable<Json>;
          "created_at": string;
          "created_by": string | null;
          "id": string;
          "is_active": boolean;
          "last_delivery_at": string | null;
          "max_deliveries_per_minute": number;
          "name": string;
          "previous_secret_expires_at": string | null;
          "secret_fingerprint": string | null;
          "secret_rotated_at": string | null;
          "updated_at": string;
          "version": string | null;
        };
        ComputedFields: never;
        Insert: {
          "app_id": string;
          "company_id": string;
          "config"?: NonNullable<Json>;
          "created_at"?: string;
          "created_by"?: string | null;
          "id"?: string;
          "is_active"?: boolean;
          "last_delivery_at"?: string | null;
          "max_deliveries_per_minute"?: number;
          "name": string;
          "previous_secret_expires_at"?: string | null;
          "secret_fingerprint"?: string | null;
          "secret_rotated_at"?: string | null;
          "updated_at"?: string;
          "version"?: string | null;
        };
        Update: {
          "app_id"?: string;
          "company_id"?: string;
          "config"?: NonNullable<Json>;
          "created_at"?: string;
          "created_by"?: string | null;
          "id"?: string;
          "is_active"?: boolean;
          "last_delivery_at"?: string | null;
          "max_deliveries_per_minute"?: number;
          "name"?: string;
          "previous_secret_expires_at"?: string | null;
          "secret_fingerprint"?: string | null;
          "secret_rotated_at"?: string | null;
          "updated_at"?: string;
          "version"?: string | null;
        };
        Relationships: [
          {
            foreignKeyName: "app_webhooks_app_id_fkey";
            columns: ["app_id"];
            isOneToOne: false;
            referencedRelation: "applications";
            referencedColumns: ["id"];
          },
          {
            foreignKeyName: "app_webhooks_company_id_fkey";
            columns: ["company_id"];
            isOneToOne: false;
            referencedRelation: "companies";
            referencedColumns: ["id"];
          },
          {
            foreignKeyName: "app_webhooks_version_fkey";
            columns: ["app_id", "version"];
            isOneToOne: false;
            referencedRelation: "app_versions";
            referencedColumns: ["app_id", "version"];
          },
        ];
      };
      "applications": {
        Row: {
          "created_at": string;
          "created_by": string | null;
          "description": string;
          "id": string;
          "name": string;
          "publisher_company_id": string;
          "slug": string;
          "status": string;
          "updated_at": string;
          "visibility": string;
        };
        ComputedFields: never;
        Insert: {
          "created_at"?: string;
          "created_by"?: string | null;
          "description"?: string;
          "id"?: string;
          "name": string;
          "publisher_company_id": string;
          "slug": string;
          "status"?: string;
          "updated_at"?: string;
          "visibility"?: string;
        };
        Update: {
          "created_at"?: string;
          "created_by"?: string | null;
          "description"?: string;
          "id"?: string;
          "name"?: string;
          "publisher_company_id"?: string;
          "slug"?: string;
          "status"?: string;
          "updated_at"?: string;
          "visibility"?: string;
        };
        Relationships: [
          {
            foreignKeyName: "applications_publisher_company_id_fkey";
            columns: ["publisher_company_id"];
            isOneToOne: false;
            referencedRelation: "companies";
            referencedColumns: ["id"];
          },
        ];
      };
      "companies": {
        Row: {
          "created_at": string;
          "id": string;
          "max_concurrent_runs": number;
          "max_queued_builds": number;
          "max_queued_runs": number;
          "max_schedules": number;
          "name": string;
          "settings": NonNullable<Json>;
          "slug": string;
          "storage_quota_bytes": number;
          "storage_quota_objects": number;
          "updated_at": string;
        };
        ComputedFields: never;
        Insert: {
          "created_at"?: string;
          "id"?: string;
          "max_concurrent_runs"?: number;
          "max_queued_builds"?: number;
          "max_queued_runs"?: number;
          "max_schedules"?: number;
          "name": string;
          "settings"?: NonNullable<Json>;
          "slug": string;
          "storage_quota_bytes"?: number;
          "storage_quota_objects"?: number;
          "updated_at"?: string;
        };
        Update: {
          "created_at"?: string;
          "id"?: string;
          "max_concurrent_runs"?: number;
          "max_queued_builds"?: number;
          "max_queued_runs"?: number;
          "max_schedules"?: number;
          "name"?: string;
          "settings"?: NonNullable<Json>;
          "slug"?: string;
          "storage_quota_bytes"?: number;
          "storage_quota_objects"?: number;
          "updated_at"?: string;
        };
        Relationships: [];
      };
      "company_members": {
        Row: {
          "company_id": string;
          "created_at": string;
          "role": string;
          "updated_at": string;
          "user_id": string;
        };
        ComputedFields: never;
        Insert: {
          "company_id": string;
          "created_at"?: string;
          "role"?: string;
          "updated_at"?: string;
          "user_id": string;
        };
        Update: {
          "company_id"?: string;
          "created_at"?: string;
          "role"?: string;
          "updated_at"?: string;
          "user_id"?: string;
        };
        Relationships: [
          {
            foreignKeyName: "company_members_company_id_fkey";
            columns: ["company_id"];
            isOneToOne: false;
            referencedRelation: "companies";
            referencedColumns: ["id"];
          },
        ];
      };
      "executors": {
        Row: {
          "capacity": number;
          "created_at": string;
          "id": string;
          "labels": NonNullable<Json>;
          "last_seen_at": string;
          "version": string;
        };
        ComputedFields: never;
        Insert: {
          "capacity"?: number;
          "created_at"?: string;
          "id": string;
          "labels"?: NonNullable<Json>;
          "last_seen_at"?: string;
          "version"?: string;
        };
        Update: {
          "capacity"?: number;
          "created_at"?: string;
          "id"?: string;
          "labels"?: NonNullable<Json>;
          "last_seen_at"?: string;
          "version"?: string;
        };
        Relationships: [];
      };
      "gtypes": {
        Row: {
          "document": NonNullable<Json>;
          "ref": string;
          "stored_at": string;
          "updated_at": string;
        };
        ComputedFields: never;
        Insert: {
          "document": NonNullable<Json>;
          "ref"?: never;
          "stored_at"?: string;
          "updated_at"?: string;
        };
        Update: {
          "document"?: NonNullable<Json>;
          "ref"?: never;
          "stored_at"?: string;
          "updated_at"?: string;
        };
        Relationships: [];
      };
      "handler_manifests": {
        Row: {
          "created_at_ms": number;
          "document": NonNullable<Json>;
          "handler_id": string;
          "stored_at": string;
          "updated_at": string;
          "version": string;
          "version_key": string;
        };
        ComputedFields: never;
        Insert: {
          "created_at_ms"?: never;
          "document": NonNullable<Json>;
          "handler_id"?: never;
          "stored_at"?: string;
          "updated_at"?: string;
          "version"?: never;
          "version_key"?: never;
        };
        Update: {
          "created_at_ms"?: never;
          "document"?: NonNullable<Json>;
          "handler_id"?: never;
          "stored_at"?: string;
          "updated_at"?: string;
          "version"?: never;
          "version_key"?: never;
        };
        Relationships: [];
      };
      "hook_manifests": {
        Row: {
          "document": NonNullable<Json>;
          "handler_id": string;
          "stored_at": string;
          "updated_at": string;
        };
        ComputedFields: never;
        Insert: {
          "document": NonNullable<Json>;
          "handler_id"?: never;
          "stored_at"?: string;
          "updated_at"?: string;
        };
        Update: {
          "document"?: NonNullable<Json>;
          "handler_id"?: never;
          "stored_at"?: string;
          "updated_at"?: string;
        };
        Relationships: [];
      };
      "manifest_readers": {
        Row: {
          "created_at": string;
          "user_id": string;
        };
        ComputedFields: never;
        Insert: {
          "created_at"?: string;
          "user_id": string;
        };
        Update: {
          "created_at"?: string;
          "user_id"?: string;
        };
        Relationships: [];
      };
      "package_dependencies": {
        Row: {
          "created_at": string;
          "dependency_name": string | null;
          "dependency_namespace": string | null;
          "from_file": string | null;
          "id": string;
          "import_path": string | null;
          "resolution": string;
          "source": string;
          "version_id": string;
          "version_range": string | null;
        };
        ComputedFields: never;
        Insert: {
          "created_at"?: string;
          "dependency_name"?: string | null;
          "dependency_namespace"?: string | null;
          "from_file"?: string | null;
          "id"?: string;
          "import_path"?: string | null;
          "resolution": string;
          "source": string;
          "version_id": string;
          "version_range"?: string | null;
        };
        Update: {
          "created_at"?: string;
          "dependency_name"?: string | null;
          "dependency_namespace"?: string | null;
          "from_file"?: string | null;
          "id"?: string;
          "import_path"?: string | null;
          "resolution"?: string;
          "source"?: string;
          "version_id"?: string;
          "version_range"?: string | null;
        };
        Relationships: [
          {
            foreignKeyName: "package_dependencies_version_id_fkey";
            columns: ["version_id"];
            isOneToOne: false;
            referencedRelation: "package_versions";
            referencedColumns: ["id"];
          },
        ];
      };
      "package_files": {
        Row: {
          "content": string | null;
          "content_type": string;
          "created_at": string;
          "id": string;
          "path": string;
          "proto_package": string | null;
          "sha256": string;
          "size": number;
          "storage_path": string | null;
          "version_id": string;
        };
        ComputedFields: never;
        Insert: {
          "content"?: string | null;
          "content_type"?: string;
          "created_at"?: string;
          "id"?: string;
          "path": string;
          "proto_package"?: string | null;
          "sha256": string;
          "size": number;
          "storage_path"?: string | null;
          "version_id": string;
        };
        Update: {
          "content"?: string | null;
          "content_type"?: string;
          "created_at"?: string;
          "id"?: string;
          "path"?: string;
          "proto_package"?: string | null;
          "sha256"?: string;
          "size"?: number;
          "storage_path"?: string | null;
          "version_id"?: string;
        };
        Relationships: [
          {
            foreignKeyName: "package_files_version_id_fkey";
            columns: ["version_id"];
            isOneToOne: false;
            referencedRelation: "package_versions";
            referencedColumns: ["id"];
          },
        ];
      };
      "package_namespaces": {
        Row: {
          "company_id": string | null;
          "created_at": string;
          "description": string;
          "is_public": boolean;
          "is_reserved": boolean;
          "name": string;
          "name_key": string;
          "updated_at": string;
        };
        ComputedFields: never;
        Insert: {
          "company_id"?: string | null;
          "created_at"?: string;
          "description"?: string;
          "is_public"?: boolean;
          "is_reserved"?: boolean;
          "name": string;
          "name_key"?: never;
          "updated_at"?: string;
        };
        Update: {
          "company_id"?: string | null;
          "created_at"?: string;
          "description"?: string;
          "is_public"?: boolean;
          "is_reserved"?: boolean;
          "name"?: string;
          "name_key"?: never;
          "updated_at"?: string;
        };
        Relationships: [
          {
            foreignKeyName: "package_namespaces_company_id_fkey";
            columns: ["company_id"];
            isOneToOne: false;
            referencedRelation: "companies";
            referencedColumns: ["id"];
          },
        ];
      };
      "package_version_changes": {
        Row: {
          "change": string;
          "changed_by": string | null;
          "created_at": string;
          "details": NonNullable<Json>;
          "id": string;
          "package_id": string;
          "reason": string | null;
          "version_id": string | null;
        };
        ComputedFields: never;
        Insert: {
          "change": string;
          "changed_by"?: string | null;
          "created_at"?: string;
          "details"?: NonNullable<Json>;
          "id"?: string;
          "package_id": string;
          "reason"?: string | null;
          "version_id"?: string | null;
        };
        Update: {
          "change"?: string;
          "changed_by"?: string | null;
          "created_at"?: string;
          "details"?: NonNullable<Json>;
          "id"?: string;
          "package_id"?: string;
          "reason"?: string | null;
          "version_id"?: string | null;
        };
        Relationships: [
          {
            foreignKeyName: "package_version_changes_package_id_fkey";
            columns: ["package_id"];
            isOneToOne: false;
            referencedRelation: "packages";
            referencedColumns: ["id"];
          },
          {
            foreignKeyName: "package_version_changes_version_id_fkey";
            columns: ["version_id"];
            isOneToOne: false;
            referencedRelation: "package_versions";
            referencedColumns: ["id"];
          },
        ];
      };
      "package_versions": {
        Row: {
          "company_id": string | null;
          "created_at": string;
          "dependencies_parsed_at": string | null;
          "download_count": number;
          "id": string;
          "import_run": string | null;
          "is_prerelease": boolean;
          "is_public": boolean;
          "package_id": string;
          "parse_error": string | null;
          "published_at": string | null;
          "resolution": Json | null;
          "resolved_at": string | null;
          "sha256": string;
          "size": number;
          "status": string;
          "status_reason": string | null;
          "storage_path": string | null;
          "updated_at": string;
          "version": string;
          "version_key": string;
          "yaml_content": string | null;
        };
        ComputedFields: never;
        Insert: {
          "company_id"?: string | null;
          "created_at"?: string;
          "dependencies_parsed_at"?: string | null;
          "download_count"?: number;
          "id"?: string;
          "import_run"?: string | null;
          "is_prerelease"?: never;
          "is_public"?: boolean;
          "package_id": string;
          "parse_error"?: string | null;
          "published_at"?: string | null;
          "resolution"?: Json | null;
          "resolved_at"?: string | null;
          "sha256": string;
          "size": number;
          "status"?: string;
          "status_reason"?: string | null;
          "storage_path"?: string | null;
          "updated_at"?: string;
          "version": string;
          "version_key"?: never;
          "yaml_content"?: string | null;
        };
        Update: {
          "company_id"?: string | null;
          "created_at"?: string;
          "dependencies_parsed_at"?: string | null;
          "download_count"?: number;
          "id"?: string;
          "import_run"?: string | null;
          "is_prerelease"?: never;
          "is_public"?: boolean;
          "package_id"?: string;
          "parse_error"?: string | null;
          "published_at"?: string | null;
          "resolution"?: Json | null;
          "resolved_at"?: string | null;
          "sha256"?: string;
          "size"?: number;
          "status"?: string;
          "status_reason"?: string | null;
          "storage_path"?: string | null;
          "updated_at"?: string;
          "version"?: string;
          "version_key"?: never;
          "yaml_content"?: string | null;
        };
        Relationships: [
          {
            foreignKeyName: "package_versions_company_id_fkey";
            columns: ["company_id"];
            isOneToOne: false;
            referencedRelation: "companies";
            referencedColumns: ["id"];
          },
          {
            foreignKeyName: "package_versions_package_id_fkey";
            columns: ["package_id"];
            isOneToOne: false;
            referencedRelation: "packages";
            referencedColumns: ["id"];
          },
        ];
      };
      "packages": {
        Row: {
          "company_id": string | null;
          "created_at": string;
          "description": string;
          "download_count": number;
          "homepage": string;
          "id": string;
          "is_public": boolean;
          "keywords": (string)[];
          "kind": string;
          "latest_version": string | null;
          "license": string;
          "name": string;
          "name_key": string;
          "namespace": string;
          "repository": string;
          "updated_at": string;
          "visibility": string;
        };
        ComputedFields: never;
        Insert: {
          "company_id"?: string | null;
          "created_at"?: string;
          "description"?: string;
          "download_count"?: number;
          "homepage"?: string;
          "id"?: string;
          "is_public"?: boolean;
          "keywords"?: (string)[];
          "kind"?: string;
          "latest_version"?: string | null;
          "license"?: string;
          "name": string;
          "name_key"?: never;
          "namespace": string;
          "repository"?: string;
          "updated_at"?: string;
          "visibility"?: string;
        };
        Update: {
          "company_id"?: string | null;
          "created_at"?: string;
          "description"?: string;
          "download_count"?: number;
          "homepage"?: string;
          "id"?: string;
          "is_public"?: boolean;
          "keywords"?: (string)[];
          "kind"?: string;
          "latest_version"?: string | null;
          "license"?: string;
          "name"?: string;
          "name_key"?: never;
          "namespace"?: string;
          "repository"?: string;
          "updated_at"?: string;
          "visibility"?: string;
        };
        Relationships: [
          {
            foreignKeyName: "packages_company_id_fkey";
            columns: ["company_id"];
            isOneToOne: false;
            referencedRelation: "companies";
            referencedColumns: ["id"];
          },
          {
            foreignKeyName: "packages_namespace_fkey";
            columns: ["namespace"];
            isOneToOne: false;
            referencedRelation: "package_namespaces";
            referencedColumns: ["name"];
          },
        ];
      };
      "retention_policies": {
        Row: {
          "app_id": string | null;
          "company_id": string | null;
          "created_at": string;
          "id": string;
          "keep_days": number | null;
          "kind": string;
          "updated_at": string;
        };
        ComputedFields: never;
        Insert: {
          "app_id"?: string | null;
          "company_id"?: string | null;
          "created_at"?: string;
          "id"?: string;
          "keep_days"?: number | null;
          "kind": string;
          "updated_at"?: string;
        };
        Update: {
          "app_id"?: string | null;
          "company_id"?: string | null;
          "created_at"?: string;
          "id"?: string;
          "keep_days"?: number | null;
          "kind"?: string;
          "updated_at"?: string;
        };
        Relationships: [
          {
            foreignKeyName: "retention_policies_app_id_fkey";
            columns: ["app_id"];
            isOneToOne: false;
            referencedRelation: "applications";
            referencedColumns: ["id"];
          },
          {
            foreignKeyName: "retention_policies_company_id_fkey";
            columns: ["company_id"];
            isOneToOne: false;
            referencedRelation: "companies";
            referencedColumns: ["id"];
          },
        ];
      };
      "superadmins": {
        Row: {
          "created_at": string;
          "user_id": string;
        };
        ComputedFields: never;
        Insert: {
          "created_at"?: string;
          "user_id": string;
        };
        Update: {
          "created_at"?: string;
          "user_id"?: string;
        };
        Relationships: [];
      };
      "timescape_metadata": {
        Row: {
          "document": NonNullable<Json>;
          "handler_id": string;
          "stored_at": string;
          "updated_at": string;
          "version": string;
        };
        ComputedFields: never;
        Insert: {
          "document": NonNullable<Json>;
          "handler_id"?: never;
          "stored_at"?: string;
          "updated_at"?: string;
          "version"?: never;
        };
        Update: {
          "document"?: NonNullable<Json>;
          "handler_id"?: never;
          "stored_at"?: string;
          "updated_at"?: string;
          "version"?: never;
        };
        Relationships: [];
      };
      "transformers": {
        Row: {
          "document": NonNullable<Json>;
          "handler_id": string;
          "id": string;
          "stored_at": string;
          "updated_at": string;
        };
        ComputedFields: never;
        Insert: {
          "document": NonNullable<Json>;
          "handler_id"?: never;
          "id"?: never;
          "stored_at"?: string;
          "updated_at"?: string;
        };
        Update: {
          "document"?: NonNullable<Json>;
          "handler_id"?: never;
          "id"?: never;
          "stored_at"?: string;
          "updated_at"?: string;
        };
        Relationships: [];
      };
      "version_graphs": {
        Row: {
          "document": NonNullable<Json>;
          "handler_id": string;
          "stored_at": string;
          "updated_at": string;
        };
        ComputedFields: never;
        Insert: {
          "document": NonNullable<Json>;
          "handler_id"?: never;
          "stored_at"?: string;
          "updated_at"?: string;
        };
        Update: {
          "document"?: NonNullable<Json>;
          "handler_id"?: never;
          "stored_at"?: string;
          "updated_at"?: string;
        };
        Relationships: [];
      };
    };
    Views: {
      [_ in never]: never;
    };
    Functions: {
      "apply_retention": {
        Args: { "dry_run"?: boolean; "max_rows"?: number };
        Returns: {
          "app_id": string;
          "bytes": number;
          "company_id": string;
          "kind": string;
          "objects": number;
          "rows": number;
        }[];
      };
      "audit_storage_objects": {
        Args: { "after"?: string; "bucket_id": string; "max_objects"?: number; "min_age"?: string };
        Returns: {
          "created_at": string;
          "name": string;
          "problem": string;
          "size": number;
        }[];
      };
      "audit_storage_rows": {
        Args: { "after"?: string; "max_rows"?: number; "source": string };
        Returns: {
          "bucket_id": string;
          "checksum": string;
          "id": string;
          "kept": boolean;
          "name": string;
          "object_size": number;
          "problem": string;
          "row_size": number;
        }[];
      };
      "begin_app_upload": {
        Args: {
          "app_id": string;
          "checksum": string;
          "content_type": string;
          "file_name": string;
          "file_size": number;
          "file_type": string;
          "version": string;
        };
        Returns: {
          "app_id": string;
          "checksum": string;
          "company_id": string;
          "completed_at": string | null;
          "content_type": string;
          "created_at": string;
          "created_by": string | null;
          "error_code": string | null;
          "error_message": string | null;
          "expires_at": string;
          "file_id": string | null;
          "file_name": string;
          "file_path": string;
          "file_size": number;
          "file_type": string;
          "id": string;
          "replaces_bytes": number | null;
          "staging_path": string;
          "status": string;
          "updated_at": string;
          "verifying_until": string | null;
          "version": string;
        };
        SetofOptions: {
          from: "*";
          to: "app_uploads";
          isOneToOne: true;
          isSetofReturn: false;
        };
      };
      "cancel_app_run": {
        Args: { "run_id": string };
        Returns: {
          "app_id": string;
          "attempt": number;
          "attempt_history": NonNullable<Json>;
          "build_id": string | null;
          "cancel_requested_at": string | null;
          "company_id": string;
          "completed_at": string | null;
          "config": NonNullable<Json>;
          "created_at": string;
          "duration_ms": number | null;
          "error_message": string | null;
          "executor_id": string | null;
          "id": string;
          "idempotency_key": string | null;
          "lease_expires_at": string | null;
          "logs_path": string | null;
          "max_attempts": number;
          "metadata": NonNullable<Json>;
          "output_path": string | null;
          "priority": number;
          "requested_by": string | null;
          "retry_failures": boolean;
          "retry_of": string | null;
          "run_after": string;
          "run_type": string;
          "started_at": string | null;
          "status": string;
          "updated_at": string;
          "version": string;
        };
        SetofOptions: {
          from: "*";
          to: "app_runs";
          isOneToOne: true;
          isSetofReturn: false;
        };
      };
      "cancel_app_upload": {
        Args: { "upload_id": string };
        Returns: {
          "app_id": string;
          "checksum": string;
          "company_id": string;
          "completed_at": string | null;
          "content_type": string;
          "created_at": string;
          "created_by": string | null;
          "error_code": string | null;
          "error_message": string | null;
          "expires_at": string;
          "file_id": string | null;
          "file_name": string;
          "file_path": string;
          "file_size": number;
          "file_type": string;
          "id": string;
          "replaces_bytes": number | null;
          "staging_path": string;
          "status": string;
          "updated_at": string;
          "verifying_until": string | null;
          "version": string;
        };
        SetofOptions: {
          from: "*";
          to: "app_uploads";
          isOneToOne: true;
          isSetofReturn: false;
        };
      };
      "cancel_query": { Args: { "query_id": string }; Returns: boolean };
      "change_package_settings": {
        Args: { "dual_read"?: boolean; "inline_limit_bytes"?: number; "move_percentage"?: number };
        Returns: Json;
      };
      "check_app_upload": {
        Args: { "content_type": string; "manifest"?: Json; "metadata"?: Json; "upload_id": string };
        Returns: undefined;
      };
      "check_storage_usage": {
        Args: Record<PropertyKey, never>;
        Returns: {
          "actual_bytes": number;
          "actual_objects": number;
          "company_id": string;
          "kind": string;
          "noted_bytes": number;
          "noted_objects": number;
        }[];
      };
      "claim_app_builds": {
        Args: { "executor_id": string; "lease"?: string; "max_builds"?: number };
        Returns: {
          "app_id": string;
          "attempt": number;
          "attempt_history": NonNullable<Json>;
          "build_after": string;
          "build_config": NonNullable<Json>;
          "build_logs": string | null;
          "build_logs_size": number | null;
          "build_path": string | null;
          "build_status": string;
          "build_version": string;
          "checksum": string | null;
          "completed_at": string | null;
          "created_at": string;
          "error_message": string | null;
          "executor_id": string | null;
          "file_size": number | null;
          "id": string;
          "is_released": boolean;
          "lease_expires_at": string | null;
          "max_attempts": number;
          "requested_by": string | null;
          "source_checksum": string | null;
          "started_at": string | null;
          "updated_at": string;
        }[];
        SetofOptions: {
          from: "*";
          to: "app_builds";
          isOneToOne: false;
          isSetofReturn: true;
        };
      };
      "claim_app_runs": {
        Args: { "executor_id": string; "lease"?: string; "max_runs"?: number };
        Returns: {
          "app_id": string;
          "attempt": number;
          "attempt_history": NonNullable<Json>;
          "build_id": string | null;
          "cancel_requested_at": string | null;
          "company_id": string;
          "completed_at": string | null;
          "config": NonNullable<Json>;
          "created_at": string;
          "duration_ms": number | null;
          "error_message": string | null;
          "executor_id": string | null;
          "id": string;
          "idempotency_key": string | null;
          "lease_expires_at": string | null;
          "logs_path": string | null;
          "max_attempts": number;
          "metadata": NonNullable<Json>;
          "output_path": string | null;
          "priority": number;
          "requested_by": string | null;
          "retry_failures": boolean;
          "retry_of": string | null;
          "run_after": string;
          "run_type": string;
          "started_at": string | null;
          "status": string;
          "updated_at": string;
          "version": string;
        }[];
        SetofOptions: {
          from: "*";
          to: "app_runs";
          isOneToOne: false;
          isSetofReturn: true;
        };
      };
      "claim_object_deletions": {
        Args: { "lease"?: string; "max_objects"?: number };
        Returns: {
          "bucket_id": string;
          "claim_id": string;
          "name": string;
        }[];
      };
      "clear_manifest_store": { Args: Record<PropertyKey, never>; Returns: undefined };
      "company_storage_usage": {
        Args: { "company_id"?: string };
        Returns: {
          "build_bytes": number;
          "company_id": string;
          "file_bytes": number;
          "output_bytes": number;
          "package_bytes": number;
          "quota_bytes": number;
          "quota_objects": number;
          "upload_bytes": number;
          "used_bytes": number;
          "used_objects": number;
        }[];
      };
      "complete_app_upload": {
        Args: { "content_type": string; "manifest"?: Json; "metadata"?: Json; "upload_id": string };
        Returns: {
          "app_id": string;
          "checksum": string;
          "content_type": string;
          "created_at": string;
          "file_path": string;
          "file_size": number;
          "file_type": string;
          "id": string;
          "is_released": boolean;
          "metadata": NonNullable<Json>;
          "updated_at": string;
          "version": string;
        };
        SetofOptions: {
          from: "*";
          to: "app_storage";
          isOneToOne: true;
          isSetofReturn: false;
        };
      };
      "count_package_downloads": { Args: { "counts": Json }; Returns: undefined };
      "count_package_fallbacks": { Args: { "count": number }; Returns: undefined };
      "create_app_webhook": {
        Args: {
          "app_id": string;
          "company_id": string;
          "config"?: Json;
          "max_deliveries_per_minute"?: number;
          "name": string;
          "version"?: string;
        };
        Returns: Database["public"]["CompositeTypes"]["app_webhook_secret"];
        SetofOptions: {
          from: "*";
          to: "app_webhook_secret";
          isOneToOne: true;
          isSetofReturn: false;
        };
      };
      "create_company": {
        Args: { "name": string; "slug": string };
        Returns: {
          "created_at": string;
          "id": string;
          "max_concurrent_runs": number;
          "max_queued_builds": number;
          "max_queued_runs": number;
          "max_schedules": number;
          "name": string;
          "settings": NonNullable<Json>;
          "slug": string;
          "storage_quota_bytes": number;
          "storage_quota_objects": number;
          "updated_at": string;
        };
        SetofOptions: {
          from: "*";
          to: "companies";
          isOneToOne: true;
          isSetofReturn: false;
        };
      };
      "create_download_token": {
        Args: {
          "company_id"?: string;
          "expires_in"?: string;
          "file_id"?: string;
          "file_name"?: string;
          "label"?: string;
          "max_downloads"?: number;
          "output_id"?: string;
        };
        Returns: Database["public"]["CompositeTypes"]["app_download_secret"];
        SetofOptions: {
          from: "*";
          to: "app_download_secret";
          isOneToOne: true;
          isSetofReturn: false;
        };
      };
      "delete_app_file": { Args: { "app_id": string; "file_id": string }; Returns: string };
      "enqueue_due_app_runs": {
        Args: { "max_schedules"?: number };
        Returns: {
          "due_at": string;
          "due_count": number;
          "last_due_at": string;
          "run_id": string;
          "schedule_id": string;
          "skip_reason": string;
        }[];
      };
      "expire_app_uploads": {
        Args: { "max_uploads"?: number };
        Returns: {
          "app_id": string;
          "checksum": string;
          "company_id": string;
          "completed_at": string | null;
          "content_type": string;
          "created_at": string;
          "created_by": string | null;
          "error_code": string | null;
          "error_message": string | null;
          "expires_at": string;
          "file_id": string | null;
          "file_name": string;
          "file_path": string;
          "file_size": number;
          "file_type": string;
          "id": string;
          "replaces_bytes": number | null;
          "staging_path": string;
          "status": string;
          "updated_at": string;
          "verifying_until": string | null;
          "version": string;
        }[];
        SetofOptions: {
          from: "*";
          to: "app_uploads";
          isOneToOne: false;
          isSetofReturn: true;
        };
      };
      "extend_app_build_leases": {
        Args: { "build_ids": (string)[]; "executor_id": string; "lease"?: string };
        Returns: {
          "build_id": string;
          "lease_expires_at": string;
        }[];
      };
      "extend_app_run_leases": {
        Args: { "executor_id": string; "lease"?: string; "run_ids": (string)[] };
        Returns: {
          "cancel_requested": boolean;
          "lease_expires_at": string;
          "run_id": string;
        }[];
      };
      "fail_app_upload": {
        Args: { "error_code": string; "error_message": string; "upload_id": string };
        Returns: {
          "app_id": string;
          "checksum": string;
          "company_id": string;
          "completed_at": string | null;
          "content_type": string;
          "created_at": string;
          "created_by": string | null;
          "error_code": string | null;
          "error_message": string | null;
          "expires_at": string;
          "file_id": string | null;
          "file_name": string;
          "file_path": string;
          "file_size": number;
          "file_type": string;
          "id": string;
          "replaces_bytes": number | null;
          "staging_path": string;
          "status": string;
          "updated_at": string;
          "verifying_until": string | null;
          "version": string;
        };
        SetofOptions: {
          from: "*";
          to: "app_uploads";
          isOneToOne: true;
          isSetofReturn: false;
        };
      };
      "find_api_creation": {
        Args: { "fingerprint": string; "idempotency_key": string };
        Returns: {
          "age_seconds": number;
          "answer": Json;
          "resource_id": string;
        }[];
      };
      "find_download_token": {
        Args: { "secret_sha256": string };
        Returns: Database["public"]["CompositeTypes"]["app_download_target"][];
        SetofOptions: {
          from: "*";
          to: "app_download_target";
          isOneToOne: false;
          isSetofReturn: true;
        };
      };
      "finish_and_claim_app_runs": {
        Args: { "executor_id": string; "lease"?: string; "max_runs"?: number; "results": Json };
        Returns: Json;
      };
      "finish_app_build": {
        Args: {
          "attempt"?: number;
          "build_id": string;
          "build_path"?: string;
          "checksum"?: string;
          "error_message"?: string;
          "executor_id": string;
          "file_size"?: number;
          "retry"?: boolean;
          "source_checksum"?: string;
          "status": string;
        };
        Returns: string;
      };
      "finish_app_run": {
        Args: {
          "attempt"?: number;
          "error_message"?: string;
          "executor_id": string;
          "logs_path"?: string;
          "metadata"?: Json;
          "output_path"?: string;
          "retry"?: boolean;
          "run_id": string;
          "status": string;
        };
        Returns: string;
      };
      "finish_app_runs": { Args: { "executor_id": string; "results": Json }; Returns: Json };
      "finish_object_deletions": {
        Args: { "bucket_id": string; "claim_id": string; "names": (string)[] };
        Returns: number;
      };
      "keep_api_answer": { Args: { "answer": Json; "idempotency_key": string }; Returns: boolean };
      "list_app_customers": {
        Args: { "app_id": string };
        Returns: {
          "assigned_at": string;
          "company_id": string;
          "name": string;
          "slug": string;
        }[];
      };
      "list_app_download_counts": {
        Args: { "app_id": string };
        Returns: {
          "bytes": number;
          "downloads": number;
          "last_download_at": string;
          "method": string;
          "version": string;
        }[];
      };
      "list_newest_app_runs": {
        Args: { "before_created_at"?: string; "before_id"?: string; "max_runs"?: number };
        Returns: {
          "app_id": string;
          "attempt": number;
          "attempt_history": NonNullable<Json>;
          "build_id": string | null;
          "cancel_requested_at": string | null;
          "company_id": string;
          "completed_at": string | null;
          "config": NonNullable<Json>;
          "created_at": string;
          "duration_ms": number | null;
          "error_message": string | null;
          "executor_id": string | null;
          "id": string;
          "idempotency_key": string | null;
          "lease_expires_at": string | null;
          "logs_path": string | null;
          "max_attempts": number;
          "metadata": NonNullable<Json>;
          "output_path": string | null;
          "priority": number;
          "requested_by": string | null;
          "retry_failures": boolean;
          "retry_of": string | null;
          "run_after": string;
          "run_type": string;
          "started_at": string | null;
          "status": string;
          "updated_at": string;
          "version": string;
        }[];
        SetofOptions: {
          from: "*";
          to: "app_runs";
          isOneToOne: false;
          isSetofReturn: true;
        };
      };
      "list_package_candidates": { Args: { "roots": (string)[] }; Returns: Json };
      "list_package_changes": {
        Args: { "max_results"?: number; "name": string; "namespace": string; "skip"?: number };
        Returns: Json;
      };
      "list_package_dependents": {
        Args: { "max_results"?: number; "name": string; "namespace": string; "skip"?: number };
        Returns: Json;
      };
      "list_package_moves": {
        Args: { "max_results"?: number };
        Returns: {
          "content": string;
          "content_type": string;
          "id": string;
          "name": string;
          "namespace": string;
          "part": string;
          "path": string;
          "sha256": string;
          "size": number;
          "storage_path": string;
          "target": string;
          "version": string;
        }[];
      };
      "list_unparsed_package_versions": {
        Args: { "max_results"?: number };
        Returns: {
          "company_id": string;
          "id": string;
          "name": string;
          "namespace": string;
          "sha256": string;
          "storage_path": string;
          "version": string;
          "yaml_content": string;
        }[];
      };
      "manifest_store_stats": {
        Args: Record<PropertyKey, never>;
        Returns: {
          "gtype_count": number;
          "hook_manifest_count": number;
          "manifest_count": number;
          "timescape_metadata_count": number;
          "transformer_count": number;
          "version_graph_count": number;
        }[];
      };
      "move_package_content": {
        Args: { "content"?: string; "id": string; "part": string; "storage_path"?: string };
        Returns: boolean;
      };
      "next_cron_run": {
        Args: { "after"?: string; "expression": string; "timezone": string };
        Returns: string;
      };
      "object_deletion_backlog": {
        Args: Record<PropertyKey, never>;
        Returns: {
          "claimed": number;
          "due": number;
          "most_attempts": number;
          "oldest_due": string;
          "waiting": number;
        }[];
      };
      "package_settings": { Args: Record<PropertyKey, never>; Returns: Json };
      "preview_cron_runs": {
        Args: { "after"?: string; "count"?: number; "expression": string; "timezone": string };
        Returns: string[];
      };
      "publish_package": {
        Args: {
          "actor": string;
          "dependencies"?: Json;
          "details"?: Json;
          "files"?: Json;
          "name": string;
          "namespace": string;
          "sha256": string;
          "size": number;
          "storage_path"?: string;
          "version": string;
          "yaml_content"?: string;
        };
        Returns: {
          "abandoned": (string)[];
          "outcome": string;
          "package_id": string;
          "version_id": string;
        }[];
      };
      "queue_orphans": {
        Args: { "bucket_id": string; "min_age"?: string; "names": (string)[] };
        Returns: number;
      };
      "read_package": { Args: { "name": string; "namespace": string }; Returns: Json };
      "read_package_version": {
        Args: { "name": string; "namespace": string; "version": string };
        Returns: Json;
      };
      "receive_app_webhook": {
        Args: {
          "body": string;
          "delivery_id": string;
          "headers"?: Json;
          "sent_at": string;
          "signatures": string;
          "webhook_id": string;
        };
        Returns: {
          "message": string;
          "outcome": string;
          "retry_after": number;
          "run_id": string;
        }[];
      };
      "register_executor": {
        Args: { "capacity"?: number; "executor_id": string; "labels"?: Json; "version"?: string };
        Returns: {
          "capacity": number;
          "created_at": string;
          "id": string;
          "labels": NonNullable<Json>;
          "last_seen_at": string;
          "version": string;
        };
        SetofOptions: {
          from: "*";
          to: "executors";
          isOneToOne: true;
          isSetofReturn: false;
        };
      };
      "release_app_builds": {
        Args: { "build_ids": (string)[]; "executor_id": string };
        Returns: string[];
      };
      "release_app_runs": {
        Args: { "executor_id": string; "run_ids": (string)[] };
        Returns: string[];
      };
      "release_expired_app_builds": {
        Args: { "max_builds"?: number };
        Returns: {
          "app_id": string;
          "attempt": number;
          "attempt_history": NonNullable<Json>;
          "build_after": string;
          "build_config": NonNullable<Json>;
          "build_logs": string | null;
          "build_logs_size": number | null;
          "build_path": string | null;
          "build_status": string;
          "build_version": string;
          "checksum": string | null;
          "completed_at": string | null;
          "created_at": string;
          "error_message": string | null;
          "executor_id": string | null;
          "file_size": number | null;
          "id": string;
          "is_released": boolean;
          "lease_expires_at": string | null;
          "max_attempts": number;
          "requested_by": string | null;
          "source_checksum": string | null;
          "started_at": string | null;
          "updated_at": string;
        }[];
        SetofOptions: {
          from: "*";
          to: "app_builds";
          isOneToOne: false;
          isSetofReturn: true;
        };
      };
      "release_expired_app_runs": {
        Args: { "max_runs"?: number };
        Returns: {
          "app_id": string;
          "attempt": number;
          "attempt_history": NonNullable<Json>;
          "build_id": string | null;
          "cancel_requested_at": string | null;
          "company_id": string;
          "completed_at": string | null;
          "config": NonNullable<Json>;
          "created_at": string;
          "duration_ms": number | null;
          "error_message": string | null;
          "executor_id": string | null;
          "id": string;
          "idempotency_key": string | null;
          "lease_expires_at": string | null;
          "logs_path": string | null;
          "max_attempts": number;
          "metadata": NonNullable<Json>;
          "output_path": string | null;
          "priority": number;
          "requested_by": string | null;
          "retry_failures": boolean;
          "retry_of": string | null;
          "run_after": string;
          "run_type": string;
          "started_at": string | null;
          "status": string;
          "updated_at": string;
          "version": string;
        }[];
        SetofOptions: {
          from: "*";
          to: "app_runs";
          isOneToOne: false;
          isSetofReturn: true;
        };
      };
      "repair_storage_row": {
        Args: { "checksum"?: string; "id": string; "problem": string; "source": string };
        Returns: string;
      };
      "repair_storage_usage": { Args: Record<PropertyKey, never>; Returns: number };
      "request_app_downloads": {
        Args: { "items": Json };
        Returns: Database["public"]["CompositeTypes"]["app_download_item"][];
        SetofOptions: {
          from: "*";
          to: "app_download_item";
          isOneToOne: false;
          isSetofReturn: true;
        };
      };
      "request_app_run": {
        Args: {
          "app_id": string;
          "company_id": string;
          "config"?: Json;
          "idempotency_key"?: string;
          "max_attempts"?: number;
          "priority"?: number;
          "run_after"?: string;
          "run_type"?: string;
          "version"?: string;
        };
        Returns: {
          "app_id": string;
          "attempt": number;
          "attempt_history": NonNullable<Json>;
          "build_id": string | null;
          "cancel_requested_at": string | null;
          "company_id": string;
          "completed_at": string | null;
          "config": NonNullable<Json>;
          "created_at": string;
          "duration_ms": number | null;
          "error_message": string | null;
          "executor_id": string | null;
          "id": string;
          "idempotency_key": string | null;
          "lease_expires_at": string | null;
          "logs_path": string | null;
          "max_attempts": number;
          "metadata": NonNullable<Json>;
          "output_path": string | null;
          "priority": number;
          "requested_by": string | null;
          "retry_failures": boolean;
          "retry_of": string | null;
          "run_after": string;
          "run_type": string;
          "started_at": string | null;
          "status": string;
          "updated_at": string;
          "version": string;
        };
        SetofOptions: {
          from: "*";
          to: "app_runs";
          isOneToOne: true;
          isSetofReturn: false;
        };
      };
      "request_app_runs": { Args: { "runs": Json }; Returns: string[] };
      "retry_app_run": {
        Args: { "run_id": string };
        Returns: {
          "app_id": string;
          "attempt": number;
          "attempt_history": NonNullable<Json>;
          "build_id": string | null;
          "cancel_requested_at": string | null;
          "company_id": string;
          "completed_at": string | null;
          "config": NonNullable<Json>;
          "created_at": string;
          "duration_ms": number | null;
          "error_message": string | null;
          "executor_id": string | null;
          "id": string;
          "idempotency_key": string | null;
          "lease_expires_at": string | null;
          "logs_path": string | null;
          "max_attempts": number;
          "metadata": NonNullable<Json>;
          "output_path": string | null;
          "priority": number;
          "requested_by": string | null;
          "retry_failures": boolean;
          "retry_of": string | null;
          "run_after": string;
          "run_type": string;
          "started_at": string | null;
          "status": string;
          "updated_at": string;
          "version": string;
        };
        SetofOptions: {
          from: "*";
          to: "app_runs";
          isOneToOne: true;
          isSetofReturn: false;
        };
      };
      "revoke_download_token": {
        Args: { "token_id": string };
        Returns: {
          "app_id": string;
          "company_id": string;
          "created_at": string;
          "created_by": string | null;
          "download_count": number;
          "expires_at": string;
          "file_id": string | null;
          "file_name": string | null;
          "id": string;
          "label": string | null;
          "last_used_at": string | null;
          "max_downloads": number | null;
          "output_id": string | null;
          "revoked_at": string | null;
          "revoked_by": string | null;
          "secret_sha256": string;
        };
        SetofOptions: {
          from: "*";
          to: "app_download_tokens";
          isOneToOne: true;
          isSetofReturn: false;
        };
      };
      "rotate_app_webhook_secret": {
        Args: { "grace"?: string; "webhook_id": string };
        Returns: Database["public"]["CompositeTypes"]["app_webhook_secret"];
        SetofOptions: {
          from: "*";
          to: "app_webhook_secret";
          isOneToOne: true;
          isSetofReturn: false;
        };
      };
      "save_package_dependencies": {
        Args: { "dependencies": Json; "error"?: string; "version_id": string };
        Returns: undefined;
      };
      "search_packages": {
        Args: {
          "kind"?: string;
          "max_results"?: number;
          "namespace"?: string;
          "query"?: string;
          "skip"?: number;
        };
        Returns: Json;
      };
      "search_public_apps": {
        Args: { "max_results"?: number; "query"?: string; "skip"?: number };
        Returns: {
          "description": string;
          "id": string;
          "name": string;
          "publisher_name": string;
          "publisher_slug": string;
          "slug": string;
        }[];
      };
      "start_app_upload_verification": {
        Args: { "lease"?: string; "upload_id": string };
        Returns: {
          "app_id": string;
          "checksum": string;
          "company_id": string;
          "completed_at": string | null;
          "content_type": string;
          "created_at": string;
          "created_by": string | null;
          "error_code": string | null;
          "error_message": string | null;
          "expires_at": string;
          "file_id": string | null;
          "file_name": string;
          "file_path": string;
          "file_size": number;
          "file_type": string;
          "id": string;
          "replaces_bytes": number | null;
          "staging_path": string;
          "status": string;
          "updated_at": string;
          "verifying_until": string | null;
          "version": string;
        };
        SetofOptions: {
          from: "*";
          to: "app_uploads";
          isOneToOne: true;
          isSetofReturn: false;
        };
      };
      "take_api_requests": {
        Args: { "requests"?: number };
        Returns: {
          "granted": number;
          "limit_requests": number;
          "remaining": number;
          "reset_seconds": number;
          "window_seconds": number;
        }[];
      };
      "use_download_token": { Args: { "bytes": number; "token_id": string }; Returns: boolean };
    };
    Enums: {
      [_ in never]: never;
    };
    CompositeTypes: {
      "app_download_item": {
        "number": number | null;
        "bucket": string | null;
        "path": string | null;
        "file_size": number | null;
        "content_type": string | null;
        "stored_type": string | null;
        "stored_size": number | null;
        "checksum": string | null;
      };
      "app_download_secret": {
        "token_id": string | null;
        "secret": string | null;
        "expires_at": string | null;
      };
      "app_download_target": {
        "token_id": string | null;
        "bucket": string | null;
        "path": string | null;
        "file_name": string | null;
        "file_size": number | null;
        "stored_type": string | null;
        "etag": string | null;
        "is_immutable": boolean | null;
      };
      "app_webhook_secret": {
        "webhook_id": string | null;
        "secret": string | null;
        "secret_fingerprint": string | null;
        "previous_secret_expires_at": string | null;
      };
    };
  };
};

type DatabaseWithoutInternals = Omit<Database, "__InternalSupabase">;

type DefaultSchema = DatabaseWithoutInternals[Extract<keyof Database, "public">];

export type Tables<
  DefaultSchemaTableNameOrOptions extends
    | keyof (DefaultSchema["Tables"] & DefaultSchema["Views"])
    | { schema: keyof DatabaseWithoutInternals },
  TableName extends DefaultSchemaTableNameOrOptions extends {
    schema: keyof DatabaseWithoutInternals;
  } ? keyof (
      & DatabaseWithoutInternals[DefaultSchemaTableNameOrOptions["schema"]]["Tables"]
      & DatabaseWithoutInternals[DefaultSchemaTableNameOrOptions["schema"]]["Views"]
    )
    : never = never,
> = DefaultSchemaTableNameOrOptions extends { schema: keyof DatabaseWithoutInternals } ? (
    & DatabaseWithoutInternals[DefaultSchemaTableNameOrOptions["schema"]]["Tables"]
    & DatabaseWithoutInternals[DefaultSchemaTableNameOrOptions["schema"]]["Views"]
  )[TableName] extends {
    Row: infer R;
  } ? R
  : never
  : DefaultSchemaTableNameOrOptions extends keyof (DefaultSchema["Tables"] & DefaultSchema["Views"])
    ? (DefaultSchema["Tables"] & DefaultSchema["Views"])[DefaultSchemaTableNameOrOptions] extends {
      Row: infer R;
    } ? R
    : never
  : never;

export type TablesInsert<
  DefaultSchemaTableNameOrOptions extends
    | keyof DefaultSchema["Tables"]
    | { schema: keyof DatabaseWithoutInternals },
  TableName extends DefaultSchemaTableNameOrOptions extends {
    schema: keyof DatabaseWithoutInternals;
  } ? keyof DatabaseWithoutInternals[DefaultSchemaTableNameOrOptions["schema"]]["Tables"]
    : never = never,
> = DefaultSchemaTableNameOrOptions extends { schema: keyof DatabaseWithoutInternals }
  ? DatabaseWithoutInternals[DefaultSchemaTableNameOrOptions["schema"]]["Tables"][TableName] extends
    {
      Insert: infer I;
    } ? I
  : never
  : DefaultSchemaTableNameOrOptions extends keyof DefaultSchema["Tables"]
    ? DefaultSchema["Tables"][DefaultSchemaTableNameOrOptions] extends {
      Insert: infer I;
    } ? I
    : never
  : never;

export type TablesUpdate<
  DefaultSchemaTableNameOrOptions extends
    | keyof DefaultSchema["Tables"]
    | { schema: keyof DatabaseWithoutInternals },
  TableName extends DefaultSchemaTableNameOrOptions extends {
    schema: keyof DatabaseWithoutInternals;
  } ? keyof DatabaseWithoutInternals[DefaultSchemaTableNameOrOptions["schema"]]["Tables"]
    : never = never,
> = DefaultSchemaTableNameOrOptions extends { schema: keyof DatabaseWithoutInternals }
  ? DatabaseWithoutInternals[DefaultSchemaTableNameOrOptions["schema"]]["Tables"][TableName] extends
    {
      Update: infer U;
    } ? U
  : never
  : DefaultSchemaTableNameOrOptions extends keyof DefaultSchema["Tables"]
    ? DefaultSchema["Tables"][DefaultSchemaTableNameOrOptions] extends {
      Update: infer U;
    } ? U
    : never
  : never;

export type Enums<
  DefaultSchemaEnumNameOrOptions extends
    | keyof DefaultSchema["Enums"]
    | { schema: keyof DatabaseWithoutInternals },
  EnumName extends DefaultSchemaEnumNameOrOptions extends {
    schema: keyof DatabaseWithoutInternals;
  } ? keyof DatabaseWithoutInternals[DefaultSchemaEnumNameOrOptions["schema"]]["Enums"]
    : never = never,
> = DefaultSchemaEnumNameOrOptions extends { schema: keyof DatabaseWithoutInternals }
  ? DatabaseWithoutInternals[DefaultSchemaEnumNameOrOptions["schema"]]["Enums"][EnumName]
  : DefaultSchemaEnumNameOrOptions extends keyof DefaultSchema["Enums"]
    ? DefaultSchema["Enums"][DefaultSchemaEnumNameOrOptions]
  : never;

export type CompositeTypes<
  PublicCompositeTypeNameOrOptions extends
    | keyof DefaultSchema["CompositeTypes"]
    | { schema: keyof DatabaseWithoutInternals },
  CompositeTypeName extends PublicCompositeTypeNameOrOptions extends {
    schema: keyof DatabaseWithoutInternals;
  } ? keyof DatabaseWithoutInternals[PublicCompositeTypeNameOrOptions["schema"]]["CompositeTypes"]
    : never = never,
> = PublicCompositeTypeNameOrOptions extends { schema: keyof DatabaseWithoutInternals }
  ? DatabaseWithoutInternals[PublicCompositeTypeNameOrOptions["schema"]]["CompositeTypes"][
    CompositeTypeName
  ]
  : PublicCompositeTypeNameOrOptions extends keyof DefaultSchema["CompositeTypes"]
    ? DefaultSchema["CompositeTypes"][PublicCompositeTypeNameOrOptions]
  : never;

export const Constants = {
  "public": {
    Enums: {},
  },
} as const;
