import { createRouter, createWebHistory, type RouteRecordRaw } from 'vue-router'
import type { Role } from './api/types'
import { useSession } from './stores/session'

declare module 'vue-router' {
  interface RouteMeta {
    title?: string
    /** Who may see it; everybody who is signed in, unless said. */
    needs?: Role
    /** Without the frame around it: the login, and a wall. */
    bare?: boolean
    open?: boolean
  }
}

const routes: RouteRecordRaw[] = [
  { path: '/', redirect: '/live' },
  {
    path: '/login',
    component: () => import('./pages/Login.vue'),
    meta: { title: 'Sign in', bare: true, open: true },
  },
  { path: '/live', component: () => import('./pages/live/Live.vue'), meta: { title: 'Live' } },
  {
    path: '/start',
    component: () => import('./pages/start/Start.vue'),
    meta: { title: 'First steps', needs: 'admin' },
  },
  {
    path: '/dashboards',
    component: () => import('./pages/dashboards/Dashboards.vue'),
    meta: { title: 'Dashboards' },
  },
  {
    path: '/dashboards/:id',
    component: () => import('./pages/dashboards/Dashboard.vue'),
    meta: { title: 'Dashboard' },
  },
  {
    path: '/dashboards/:id/wall',
    component: () => import('./pages/dashboards/Wall.vue'),
    meta: { title: 'Dashboard', bare: true },
  },
  {
    path: '/experiments',
    component: () => import('./pages/experiments/Experiments.vue'),
    meta: { title: 'Experiments' },
  },
  {
    path: '/experiments/:id',
    component: () => import('./pages/experiments/Experiment.vue'),
    meta: { title: 'Experiment' },
  },
  {
    path: '/rules',
    component: () => import('./pages/rules/Rules.vue'),
    meta: { title: 'Rules', needs: 'operator' },
  },
  {
    path: '/rules/:id',
    component: () => import('./pages/rules/RuleForm.vue'),
    meta: { title: 'Rule', needs: 'operator' },
  },
  {
    path: '/webhooks',
    component: () => import('./pages/webhooks/Webhooks.vue'),
    meta: { title: 'Webhooks', needs: 'admin' },
  },
  {
    path: '/webhooks/:id',
    component: () => import('./pages/webhooks/Webhook.vue'),
    meta: { title: 'Webhook', needs: 'admin' },
  },
  { path: '/devices', component: () => import('./pages/devices/Devices.vue'), meta: { title: 'Devices' } },
  { path: '/devices/:id', component: () => import('./pages/devices/Device.vue'), meta: { title: 'Device' } },
  { path: '/events', component: () => import('./pages/events/Events.vue'), meta: { title: 'Events' } },
  { path: '/events/:id', component: () => import('./pages/events/EventPage.vue'), meta: { title: 'Event' } },
  {
    path: '/users',
    component: () => import('./pages/people/Users.vue'),
    meta: { title: 'Users', needs: 'admin' },
  },
  { path: '/tokens', component: () => import('./pages/people/Tokens.vue'), meta: { title: 'API tokens' } },
  { path: '/account', component: () => import('./pages/people/Account.vue'), meta: { title: 'Account' } },
  { path: '/logs', component: () => import('./pages/logs/Logs.vue'), meta: { title: 'Logs' } },
  { path: '/:nothing(.*)*', component: () => import('./pages/NotFound.vue'), meta: { title: 'Not found' } },
]

export const router = createRouter({
  history: createWebHistory(),
  routes,
  scrollBehavior: () => ({ top: 0 }),
})

router.beforeEach((to) => {
  const session = useSession()
  if (!session.signedIn && to.meta.open !== true)
    return { path: '/login', query: to.fullPath === '/live' ? {} : { to: to.fullPath } }
  if (session.signedIn && to.path === '/login') return '/live'
  return true
})

router.afterEach((to) => {
  document.title = to.meta.title === undefined ? 'WebMACS' : `${to.meta.title} · WebMACS`
})
