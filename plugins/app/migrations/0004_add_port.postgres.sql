ALTER TABLE "app_instances" ADD COLUMN "port" bigint NULL;
